/** Errors in OpenAI's form: `{ error: { message, type, param, code } }` with a status. */
import { RivuletError, type ErrorParts } from '../errors';

/** The body of an answer that failed, as OpenAI's API has it. */
export interface OpenAIErrorBody {
  error: {
    message: string;
    /** `invalid_request_error` for what the caller can change, `server_error` for the rest */
    type: string;
    /** the path of the field that is wrong, as `messages[3].content[0].type` */
    param: string | null;
    code: string | null;
  };
}

/** What a call of this interface throws, except the platform's `AbortError`. */
export class OpenAIError extends Error {
  override readonly name = 'OpenAIError';
  /** as an HTTP response would have it: 400, 404, 405, 500 or 503 */
  readonly status: number;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;

  constructor(message: string, status: number, fields: { param?: string; code?: string } = {}, cause?: unknown) {
    super(message, { cause });
    this.status = status;
    this.type = status < 500 ? 'invalid_request_error' : 'server_error';
    this.param = fields.param ?? null;
    this.code = fields.code ?? null;
  }

  /** the body of the HTTP response */
  toJSON(): OpenAIErrorBody {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code } };
  }
}

const messageOf = (parts: ErrorParts): string => new RivuletError('RequestError', parts).message;

/** @throws OpenAIError of a field with a wrong value, status 400 */
export function refuse(param: string, parts: ErrorParts, code = 'invalid_value', status = 400): never {
  throw new OpenAIError(messageOf(parts), status, { param, code });
}

/** @throws OpenAIError of a field that is OpenAI's, but cannot be honoured here */
export const refuseUnsupported = (param: string, what: string, cure?: string): never =>
  refuse(param, { what, cure }, 'unsupported_parameter');

/** What an option of `chat` is called in a request. */
const PARAMS: Record<string, string> = {
  responseFormat: 'response_format',
  toolChoice: 'tool_choice',
  bias: 'logit_bias',
  tools: 'tools',
};

const CODES: Record<string, { status: number; code?: string }> = {
  RequestError: { status: 400 },
  ContextError: { status: 400, code: 'context_length_exceeded' },
  MemoryError: { status: 503, code: 'insufficient_memory' },
  DeviceError: { status: 500, code: 'device_error' },
};

const UNLOADED: { begins: string; status: number; code?: string }[] = [
  { begins: 'No model is loaded', status: 503, code: 'model_not_loaded' },
  { begins: 'The model was unloaded', status: 503, code: 'model_unloaded' },
];

/**
 * An error of the engine in OpenAI's form.
 * @param params what options of `chat` are called in the request, where it is not as in chat completions
 */
export function toOpenAIError(error: unknown, params: Record<string, string> = {}): OpenAIError {
  if (error instanceof OpenAIError) return error;
  const { name, message } = error instanceof Error ? error : { name: '', message: String(error) };
  const names = { ...PARAMS, ...params };
  const option =
    /held to (\w+)/.exec(message)?.[1] ??
    /^(?:The value of )?(\w+) is not valid/.exec(message)?.[1] ??
    (/^(?:The schema|No value fits the schema)\b/.test(message)
      ? /\btools\[\d+\]/.test(message)
        ? 'tools'
        : 'responseFormat'
      : undefined);
  const param = option && Object.hasOwn(names, option) ? names[option] : undefined;
  if (param && message.startsWith('This model cannot be held to'))
    return new OpenAIError(
      messageOf({
        what: `This model cannot be held to ${param}`,
        cure: 'Load it with constraints: true.',
      }),
      400,
      { param, code: 'unsupported_parameter' },
      error,
    );
  const { status, code = param && 'invalid_value' } = UNLOADED.find(({ begins }) => message.startsWith(begins)) ??
    CODES[name] ?? { status: 500 };
  return new OpenAIError(message, status, { ...(param && { param }), ...(code && { code }) }, error);
}

export const isAbort = (error: unknown): boolean => (error as Error | undefined)?.name === 'AbortError';
