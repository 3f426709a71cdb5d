/** The errors of the router, in OpenAI's form and with the route so far. */
import { RivuletError, type ErrorParts } from '../errors';
import { OpenAIError } from '../openai/openai_error';
import type { RouteReport } from './types';

/** Codes and the status that `router.fetch` gives for them. */
const STATUS = {
  connect_timeout: 504,
  first_token_timeout: 504,
  stalled: 504,
  total_timeout: 504,
  network: 502,
  redirected: 502,
  not_openai: 502,
  bad_json: 502,
  bad_stream: 502,
  stream_cut: 502,
  too_large: 502,
  wrong_model: 502,
  unauthorized: 401,
  payment_required: 402,
  forbidden: 403,
  model_missing: 502,
  rate_limited: 429,
  server_failed: 502,
  request_rejected: 400,
  no_key: 401,
  not_allowed: 403,
  private_text: 403,
  attachment_stays: 403,
  no_route: 503,
  refused: 403,
  asked_no: 403,
  ledger_failed: 503,
  low_confidence: 503,
  schema_failed: 503,
  repetition: 503,
  late: 504,
} as const;

export type RouteErrorCode = keyof typeof STATUS;

/** A request that no path answered, or one path that failed. `code` says why; it never holds a key or a text. */
export class RouteError extends OpenAIError {
  declare readonly code: RouteErrorCode;
  /** what was tried */
  route?: RouteReport;
  /** of Retry-After */
  readonly retryAfterMs: number | undefined;

  constructor(code: RouteErrorCode, parts: ErrorParts, retryAfterMs?: number) {
    super(new RivuletError('SourceError', parts).message, STATUS[code], { code });
    this.retryAfterMs = retryAfterMs;
  }
}

/** @throws RouteError */
export function failRoute(code: RouteErrorCode, parts: ErrorParts, retryAfterMs?: number): never {
  throw new RouteError(code, parts, retryAfterMs);
}
