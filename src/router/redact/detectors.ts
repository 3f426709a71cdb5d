/** Finds private text by patterns and check digits. Names and free text are not found by patterns. */
import { ibanLength, isCard, passesMod97 } from './check_digits';
import { findPhones } from './phones';

export const KINDS = ['email', 'phone', 'card', 'iban', 'key', 'secret', 'ip', 'term'] as const;

/** A piece of a text. */
export interface PrivateSpan {
  kind: string;
  start: number;
  end: number;
}

/** Finds one kind, as a library of the page's choice may do. */
export interface Detector {
  /** letters and _: it becomes the name of the placeholder */
  kind: string;
  find(text: string): Iterable<{ start: number; end: number }>;
}

type Find = (text: string) => Iterable<{ start: number; end: number }>;

function* matches(text: string, pattern: RegExp, group = 0): Generator<{ start: number; end: number }> {
  for (const match of text.matchAll(pattern)) {
    const [start, end] = match.indices![group] ?? [0, 0];
    if (end > start) yield { start, end };
  }
}

/** A file for a screen of double density looks like an address. */
const NO_DOMAIN = /\.(?:png|jpe?g|gif|webp|svg|avif|js|ts|css|json|md)$/i;

const findEmails: Find = function* (text) {
  // from each @ to both sides: a pattern would try every start
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    const local = /[\p{L}\p{N}._%+'~=&-]{1,64}$/u
      .exec(text.slice(Math.max(0, at - 64), at))?.[0]
      .replace(/^[.'=&]+/, '');
    const domain = /^(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,62})\.){1,8}\p{L}[\p{L}\p{N}-]{1,62}/u.exec(
      text.slice(at + 1, at + 256),
    )?.[0];
    if (local && domain && !NO_DOMAIN.test(domain))
      yield { start: at - local.length, end: at + 1 + domain.replace(/-+$/, '').length };
  }
};

const findIbans: Find = function* (text) {
  for (const { index } of text.matchAll(/(?<![\p{L}\p{N}])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9])/gu)) {
    const length = ibanLength(text.slice(index, index + 2).toUpperCase());
    if (length === undefined) continue;
    const { value, end } = take(text, index, length);
    if (value.length === length && !/[\p{L}\p{N}]/u.test(text[end] ?? '') && passesMod97(value))
      yield { start: index, end };
  }
};

/** The next letters and digits, with single spaces or hyphens between them. */
function take(text: string, start: number, length: number): { value: string; end: number } {
  let value = '';
  let at = start;
  for (; at < text.length && value.length < length; at++) {
    const one = text[at];
    if (/[A-Za-z0-9]/.test(one)) value += one.toUpperCase();
    else if (!/[ -]/.test(one) || /[ -]/.test(text[at - 1])) break;
  }
  return { value, end: at };
}

/** of digits in the number of a card */
const MOST_GROUPS = 5;

const findCards: Find = function* (text) {
  for (const { 0: run, index } of text.matchAll(/(?<![\d\p{L}_]|\d[.,])\d(?:[ -]?\d){12,40}(?![\d\p{L}_]|[.,]\d)/gu)) {
    const groups = [...run.matchAll(/\d+/g)];
    // an expiry date or another number may stand beside it
    for (let first = 0; first < groups.length; first++) {
      for (let last = Math.min(groups.length, first + MOST_GROUPS) - 1; last >= first; last--) {
        const digits = groups.slice(first, last + 1).join('');
        if (!isCard(digits) || !isGrouping(groups.slice(first, last + 1).map(([group]) => group.length))) continue;
        const end = groups[last].index + groups[last][0].length;
        yield { start: index + groups[first].index, end: index + end };
        first = last;
        break;
      }
    }
  }
};

/** 16, 4-4-4-4, 4-6-5, 4-6-4, 4-4-4-4-3, 8-8: the last group may be shorter. */
const isGrouping = (lengths: readonly number[]): boolean =>
  lengths.length === 1 ||
  /^(4 4 4 \d( 4)?( [1-4])?|4 4 4 4 [1-3]|4 6 [45]|4 [45] [56]|8 8|6 \d{1,2}|4 4 4 [1-4])$/.test(lengths.join(' '));

/** Keys of services that can be told by their form. */
const KEYS = new RegExp(
  [
    'sk-(?:proj-|ant-|or-|svcacct-)?[A-Za-z0-9_-]{20,}',
    '(?:sk|pk|rk|whsec)_(?:live|test)_[A-Za-z0-9]{16,}',
    'gh[pousr]_[A-Za-z0-9]{30,}',
    'github_pat_[A-Za-z0-9_]{22,}',
    'gl(?:pat|ptt|dt)-[A-Za-z0-9_-]{20,}',
    '(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}',
    'AIza[A-Za-z0-9_-]{35}',
    'ya29\\.[A-Za-z0-9_-]{20,}',
    'xox[abeoprs]-[A-Za-z0-9-]{10,}',
    'xapp-[A-Za-z0-9-]{20,}',
    'hf_[A-Za-z0-9]{30,}',
    'npm_[A-Za-z0-9]{36}',
    'pypi-[A-Za-z0-9_-]{32,}',
    'SG\\.[A-Za-z0-9_-]{16,}\\.[A-Za-z0-9_-]{16,}',
    'dop_v1_[a-f0-9]{64}',
    'shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}',
    'gsk_[A-Za-z0-9]{32,}',
    'eyJ[A-Za-z0-9_-]{8,}\\.eyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]*',
  ]
    .map((one) => `(?<![A-Za-z0-9_])${one}`)
    .join('|'),
  'dg',
);
const PEM = /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/dg;
const BEARER = /\b(?:Bearer|Basic)\s+([A-Za-z0-9_.~+/-]{16,}=*)/dg;

const findKeys: Find = function* (text) {
  yield* matches(text, KEYS);
  if (text.includes('-----BEGIN')) yield* matches(text, PEM);
  for (const span of matches(text, BEARER, 1)) if (/\d/.test(text.slice(span.start, span.end))) yield span;
};

const NAMED =
  /(?:pass(?:word|wd|phrase|code)?|pwd|passwort|kennwort|mot de passe|contraseña|пароль|secret|api[ _-]?key|access[ _-]?key|(?:access|auth|refresh|api)[ _-]?token|token|client[ _-]?secret|credentials?)["'`]?\s{0,3}(?:is now|is|ist|est|es|lautet|:=|=>|[:=：])\s{0,3}["'`]?([^\s"'`,;<>(){}]{6,200})/dgiu;
const IN_ADDRESS = /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:/@]{0,64}:([^\s/@]{1,128})@/dgi;

/** A word alone follows 'the password is' more often than a password does. */
const isSecret = (value: string): boolean =>
  !/^(?:\[[A-Z]+_\d+\]|\$\{|\$\w+$|process\.env|os\.environ)/.test(value) &&
  ((/\d/.test(value) && /[^\d.:/-]/.test(value)) ||
    (/[^\p{L}\d.:!?-]/u.test(value) && /\p{L}/u.test(value)) ||
    (/[a-z]/.test(value.slice(1)) && /[A-Z]/.test(value.slice(1))));

const findSecrets: Find = function* (text) {
  for (const { start, end } of matches(text, NAMED, 1)) {
    const value = text.slice(start, end).replace(/[.:]+$/, '');
    if (value.length >= 6 && isSecret(value)) yield { start, end: start + value.length };
  }
  if (text.includes('://')) yield* matches(text, IN_ADDRESS, 1);
};

const V4 = /(?<![\d.\p{L}])(?:\d{1,3}\.){3}\d{1,3}(?![\d\p{L}]|\.\d)/gu;
const V6 = /(?<![\p{L}\p{N}:.])[0-9a-f:]{2,39}(?:(?<=:)(?:\d{1,3}\.){3}\d{1,3})?(?![\p{L}\p{N}:])/giu;

const findAddresses: Find = function* (text) {
  for (const { 0: found, index } of text.matchAll(V4)) {
    if (found.split('.').some((part) => Number(part) > 255 || (part.length > 1 && part[0] === '0'))) continue;
    // of everybody, or a version
    if (
      /^(?:127\.|0\.0\.0\.0|255\.255\.)/.test(found) ||
      /(?:v|version|release|build|§|section|chapter)[ :=]{0,2}$/i.test(text.slice(Math.max(0, index - 12), index))
    )
      continue;
    yield { start: index, end: index + found.length };
  }
  if (!text.includes(':')) return;
  for (const { 0: found, index } of text.matchAll(V6))
    if (isV6(found)) yield { start: index, end: index + found.length };
};

function isV6(found: string): boolean {
  const text = found.replace(/(?:\d{1,3}\.){3}\d{1,3}$/, '0:0');
  const halves = text.split('::');
  if (halves.length > 2 || !/[0-9a-f]/i.test(text)) return false;
  const parts = halves.flatMap((half) => (half ? half.split(':') : []));
  if (parts.some((part) => !/^[0-9a-f]{1,4}$/i.test(part)) || !/\d/.test(found)) return false;
  // :: alone stands in many languages between names; ::1 is this machine
  return halves.length === 2 ? parts.length >= 2 && parts.length < 8 && text !== '::1' : parts.length === 8;
}

const BUILT_IN: Record<string, Find> = {
  email: findEmails,
  iban: findIbans,
  card: findCards,
  key: findKeys,
  secret: findSecrets,
  ip: findAddresses,
  phone: findPhones,
};

/** @param terms in any case, between other letters not; spaces match any white space */
export function termDetector(terms: readonly string[]): Detector | undefined {
  const parts = [...new Set(terms.map((term) => term.trim()).filter(Boolean))]
    .sort((a, b) => b.length - a.length)
    .map((term) =>
      term
        .split(/\s+/)
        .map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
        .join('\\s+'),
    );
  if (!parts.length) return undefined;
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}_])(?:${parts.join('|')})(?![\\p{L}\\p{N}_])`, 'dgiu');
  return { kind: 'term', find: (text) => matches(text, pattern) };
}

/** Letters and signs that look like ASCII become ASCII, one for one. */
const plain = (text: string): string =>
  /[^\p{ASCII}]/u.test(text)
    ? text
        .replace(/[\uff01-\uff5e]/g, (one) => String.fromCharCode(one.charCodeAt(0) - 0xfee0))
        .replace(/[\u00a0\u2000-\u200a\u202f\u205f\u3000]/g, ' ')
        .replace(/[\u2010-\u2015\u2212\ufe58\ufe63]/g, '-')
    : text;

/**
 * All private pieces of a text, in order. Pieces that overlap are one, with the kind of the longest.
 * @param kinds of the built-in detectors
 */
export function findPrivate(text: string, kinds: readonly string[], more: readonly Detector[]): PrivateSpan[] {
  const read = plain(text);
  const found: PrivateSpan[] = [];
  for (const kind of kinds) for (const { start, end } of BUILT_IN[kind]?.(read) ?? []) found.push({ kind, start, end });
  for (const { kind, find } of more) for (const { start, end } of find(read)) found.push({ kind, start, end });
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  const joined: (PrivateSpan & { longest: number })[] = [];
  for (const span of found) {
    const last = joined.at(-1);
    const length = span.end - span.start;
    if (!last || span.start >= last.end) joined.push({ ...span, longest: length });
    else {
      if (length > last.longest) Object.assign(last, { kind: span.kind, longest: length });
      last.end = Math.max(last.end, span.end);
    }
  }
  return joined.map(({ longest: _, ...span }) => span);
}
