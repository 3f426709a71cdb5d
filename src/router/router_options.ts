/** What a router is made of. */
import type { Models } from '../openai/types';
import type { Environment } from './environment';
import type { Ledger } from './ledger/ledger';
import type { PresetName } from './policy';
import type { RedactionOptions } from './redact/redactor';
import type {
  BreakerOptions,
  CloudEndpoint,
  Deadlines,
  Facts,
  Outcome,
  Policy,
  PolicyFunction,
  Retries,
} from './types';

export interface RouterOptions {
  /** one model, or a chain by name: each next one is asked when the one before gives up */
  local?: Models;
  cloud?: CloudEndpoint | readonly CloudEndpoint[];
  /** data, code, or the name of a preset */
  policy?: Policy | PolicyFunction | PresetName;
  /** in memory if it is not given */
  ledger?: Ledger;
  /** what happens to private text before it leaves; false: nothing */
  redact?: RedactionOptions | false;
  /** texts of governance files, with the SHA-256 that each must have */
  governance?: readonly { text: string; sha256?: string }[];
  /** answers the outcome 'ask'; without it such a request is refused */
  ask?: (explanation: string, facts: Facts) => Outcome | Promise<Outcome>;
  /** the name of the router as a model, 'auto' if it is not given */
  name?: string;
  /** tokens that the models of the device have room for */
  contextTokens?: number;
  /** speed of the device before the ledger knows it: tokens of a prompt that are read in a second */
  prefillPerSecond?: number;
  /** energy of the device for a token, as measured */
  joulesPerToken?: number;
  /** battery of the device, where the browser tells it */
  battery?: () => { level: number; charging: boolean } | undefined;
  deadlines?: Deadlines;
  retries?: Retries;
  breaker?: BreakerOptions;
  /** clock, network and chance, for tests */
  environment?: Partial<Environment>;
}
