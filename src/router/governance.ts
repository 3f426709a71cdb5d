/** A file of rules above the page's policy: what it does not allow, no policy and no option gives. */
import { fail, show } from '../errors';
import { isObject } from '../openai/fields';
import { sha256Hex } from './ledger/rows';

/** The file, as JSON. A field that is not there allows all. */
export interface GovernanceFile {
  version: 1;
  /** 'off': nothing leaves the device */
  cloud?: 'on' | 'off';
  /** SHA-256 of the hosts that may be asked, with their port if it has one, as hexadecimal */
  hosts?: readonly string[];
  /** SHA-256 of the names of models that may be asked, on the device too */
  models?: readonly string[];
  /** rows of the ledger that are older are deleted */
  retentionDays?: number;
  /** requests to the cloud need detectors */
  requireRedaction?: boolean;
  /** nothing leaves without a row in the ledger */
  requireLedger?: boolean;
}

export interface Governance {
  /** a copy that cannot be changed */
  readonly file: Readonly<GovernanceFile>;
  /** SHA-256 of the text of all files */
  readonly sha256: string;
  allowsHost(host: string): boolean;
  allowsModel(name: string): boolean;
}

const FIELDS = ['version', 'cloud', 'hosts', 'models', 'retentionDays', 'requireRedaction', 'requireLedger'];
const HASH = /^[0-9a-f]{64}$/;

/**
 * Reads files of governance. Several are narrowed to what all of them allow, so that a page can add one and not take
 * one away.
 * @param texts JSON
 * @param sha256 the SHA-256 that each text must have, where it is known
 * @throws RequestError for a file that is not valid: nothing is allowed then
 */
export function readGovernance(texts: readonly string[], sha256: readonly (string | undefined)[] = []): Governance {
  const files = texts.map((text, i) => readFile(text, sha256[i]));
  const file = Object.freeze(files.reduce(narrow, { version: 1 }));
  const hosts = file.hosts && new Set(file.hosts);
  const models = file.models && new Set(file.models);
  return Object.freeze({
    file,
    sha256: sha256Hex(texts.join('\n')),
    allowsHost: (host: string) => file.cloud !== 'off' && (!hosts || hosts.has(sha256Hex(host))),
    allowsModel: (name: string) => !models || models.has(sha256Hex(name)),
  });
}

const wrong = (got: string, wanted: string): never =>
  fail('RequestError', { what: 'The governance file is not valid', got, wanted });

function readFile(text: string, sha256: string | undefined): GovernanceFile {
  if (typeof text !== 'string') wrong(show(text), 'the text of a file');
  if (sha256 !== undefined && sha256Hex(text) !== sha256.toLowerCase()) wrong('another SHA-256', sha256);
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    wrong('no JSON', 'JSON');
  }
  if (!isObject(file) || file.version !== 1) return wrong(show(file), 'an object with version: 1');
  // a rule with a wrong name would not be kept
  const strange = Object.keys(file).find((name) => !FIELDS.includes(name));
  if (strange !== undefined) wrong(`the field ${show(strange)}`, FIELDS.join(', '));
  for (const name of ['hosts', 'models'] as const) {
    const list = file[name];
    if (list !== undefined && !(Array.isArray(list) && list.every((one) => HASH.test(String(one)))))
      wrong(`${name} ${show(list)}`, 'a list of SHA-256 in small hexadecimal letters');
  }
  for (const name of ['requireRedaction', 'requireLedger'] as const)
    if (file[name] !== undefined && typeof file[name] !== 'boolean')
      wrong(`${name} ${show(file[name])}`, 'true or false');
  if (file.cloud !== undefined && file.cloud !== 'on' && file.cloud !== 'off')
    wrong(`cloud ${show(file.cloud)}`, "'on' or 'off'");
  const days = file.retentionDays;
  if (days !== undefined && !(typeof days === 'number' && days > 0))
    wrong(`retentionDays ${show(days)}`, 'days above 0');
  return file as unknown as GovernanceFile;
}

const both = (a: readonly string[] | undefined, b: readonly string[] | undefined): readonly string[] | undefined =>
  Object.freeze(a && b ? a.filter((one) => b.includes(one)) : (a ?? b)?.slice());

function narrow(a: GovernanceFile, b: GovernanceFile): GovernanceFile {
  const hosts = both(a.hosts, b.hosts);
  const models = both(a.models, b.models);
  const days = Math.min(a.retentionDays ?? Infinity, b.retentionDays ?? Infinity);
  return {
    version: 1,
    ...((a.cloud === 'off' || b.cloud === 'off') && { cloud: 'off' as const }),
    ...(hosts && { hosts }),
    ...(models && { models }),
    ...(days < Infinity && { retentionDays: days }),
    ...((a.requireRedaction || b.requireRedaction) && { requireRedaction: true }),
    ...((a.requireLedger || b.requireLedger) && { requireLedger: true }),
  };
}
