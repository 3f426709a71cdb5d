/** The types of chat completions and completions, with the names that OpenAI's API gives them. */
import type { Model, SchemaReport } from '../index';

/** What this interface needs of a loaded model. */
export type OpenAIModel = Pick<Model, 'info' | 'chat' | 'generate' | 'detokenize'> &
  Partial<Pick<Model, 'tokenize' | 'embed' | 'encodeQuery' | 'encodeDocuments' | 'similarity'>>;

/** A model, or a function that loads it when it is first asked for. */
export type ModelEntry = OpenAIModel | PromiseLike<OpenAIModel> | (() => OpenAIModel | PromiseLike<OpenAIModel>);

/** One model, which is known by the id that `load` gave it, or models by the names that requests use. */
export type Models = OpenAIModel | Readonly<Record<string, ModelEntry>>;

export interface RequestOptions {
  signal?: AbortSignal | null;
}

export interface ChatCompletionTextPart {
  type: 'text';
  text: string;
}

/** For a model with vision. */
export interface ChatCompletionImagePart {
  type: 'image_url';
  /** `url`: an address, also a data: address. `detail` low: the picture is not split into tiles */
  image_url: { url: string; detail?: 'auto' | 'low' | 'high' | null };
}

export interface ChatCompletionMessageToolCall {
  id: string;
  type: 'function';
  /** `arguments` is a JSON text */
  function: { name: string; arguments: string };
}

/** A message of a request. */
export interface ChatCompletionMessageParam {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  content?: string | readonly (ChatCompletionTextPart | ChatCompletionImagePart)[] | null;
  /** what an assistant thought before its answer */
  reasoning_content?: string | null;
  tool_calls?: readonly ChatCompletionMessageToolCall[] | null;
  /** of a message with the role tool */
  tool_call_id?: string;
  name?: string;
}

export interface ChatCompletionTool {
  type: 'function';
  function: {
    name: string;
    description?: string;
    /** a JSON Schema of an object */
    parameters?: Record<string, unknown>;
    /** a call whose arguments do not fit comes back as text, with a report */
    strict?: boolean | null;
  };
}

export type ChatCompletionToolChoice = 'none' | 'auto' | 'required' | { type: 'function'; function: { name: string } };

export type ChatResponseFormat =
  | { type: 'text' }
  | { type: 'json_object' }
  | {
      type: 'json_schema';
      json_schema: {
        name: string;
        description?: string;
        schema?: Record<string, unknown>;
        /** false: what cannot be enforced is checked in the whole answer, and told in `schema_report` */
        strict?: boolean | null;
      };
    };

/** The sampling of OpenAI's API, and top_k, min_p and repetition_penalty, which other servers add. */
export interface SamplingRequest {
  temperature?: number | null;
  top_p?: number | null;
  top_k?: number | null;
  min_p?: number | null;
  frequency_penalty?: number | null;
  presence_penalty?: number | null;
  repetition_penalty?: number | null;
  /** numbers that are added to logits, by token id */
  logit_bias?: Record<string, number> | null;
  seed?: number | null;
  stop?: string | readonly string[] | null;
}

export interface ChatCompletionRequest extends SamplingRequest {
  model: string;
  messages: readonly ChatCompletionMessageParam[];
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean } | null;
  max_tokens?: number | null;
  max_completion_tokens?: number | null;
  n?: number | null;
  logprobs?: boolean | null;
  top_logprobs?: number | null;
  tools?: readonly ChatCompletionTool[];
  tool_choice?: ChatCompletionToolChoice | null;
  parallel_tool_calls?: boolean | null;
  response_format?: ChatResponseFormat | null;
  /** variables of the chat template */
  chat_template_kwargs?: Record<string, unknown> | null;
  /** the model goes on with the last message, which is an assistant's */
  continue_final_message?: boolean | null;
  user?: string;
  metadata?: Record<string, string> | null;
}

export interface TokenLogprob {
  token: string;
  logprob: number;
  /** the UTF-8 of the token; null where it is a part of a character */
  bytes: number[] | null;
  top_logprobs: { token: string; logprob: number; bytes: number[] | null }[];
}

/** Why a piece of an answer is no valid call. */
export interface ToolCallError {
  type: 'malformed' | 'unknown_tool' | 'invalid_arguments' | 'no_tools';
  message: string;
  /** of the call that was given all the same; without it the piece is in the content */
  id?: string;
  /** what is wrong in the arguments, as `arguments.minutes` */
  param?: string;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** tokens of the prompt that the model had read before */
  prompt_tokens_details: { cached_tokens: number };
}

/** Times of an answer, with the names that llama.cpp's server has. */
export interface Timings {
  /** tokens of the prompt that were still there from earlier calls */
  cache_n: number;
  /** tokens that were read, and how long it took */
  prompt_n: number;
  prompt_ms: number;
  prompt_per_second: number;
  predicted_n: number;
  predicted_ms: number;
  predicted_per_second: number;
}

export type FinishReason = 'stop' | 'length' | 'tool_calls';

export interface ChatCompletionMessage {
  role: 'assistant';
  content: string | null;
  refusal: null;
  reasoning_content?: string;
  tool_calls?: ChatCompletionMessageToolCall[];
  tool_call_errors?: ToolCallError[];
  schema_report?: SchemaReport;
}

export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  created: number;
  model: string;
  choices: {
    index: number;
    message: ChatCompletionMessage;
    logprobs: { content: TokenLogprob[]; refusal: null } | null;
    finish_reason: FinishReason;
  }[];
  usage: Usage;
  timings: Timings;
}

export interface ChatCompletionDelta {
  role?: 'assistant';
  content?: string;
  reasoning_content?: string;
  tool_calls?: (ChatCompletionMessageToolCall & { index: number })[];
  tool_call_errors?: ToolCallError[];
  schema_report?: SchemaReport;
}

export interface ChatCompletionChunk {
  id: string;
  object: 'chat.completion.chunk';
  created: number;
  model: string;
  choices: {
    index: number;
    delta: ChatCompletionDelta;
    logprobs: { content: TokenLogprob[]; refusal: null } | null;
    finish_reason: FinishReason | null;
  }[];
  usage?: Usage | null;
  timings?: Timings;
}

export interface CompletionRequest extends SamplingRequest {
  model: string;
  prompt: string | readonly string[] | readonly number[] | readonly (readonly number[])[];
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean } | null;
  /** 16 if it is not given, as in OpenAI's API */
  max_tokens?: number | null;
  n?: number | null;
  echo?: boolean | null;
  /** 0 to 20 */
  logprobs?: number | null;
  user?: string;
}

export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: number[];
  top_logprobs: Record<string, number>[];
  text_offset: number[];
}

export interface CompletionChoice {
  index: number;
  text: string;
  logprobs: CompletionLogprobs | null;
}

/** Also a piece of a stream: there `finish_reason` is null up to the end of a choice. */
export interface Completion<Finish = 'stop' | 'length'> {
  id: string;
  object: 'text_completion';
  created: number;
  model: string;
  choices: (CompletionChoice & { finish_reason: Finish })[];
  usage?: Usage;
  timings?: Timings;
}

export type CompletionChunk = Completion<'stop' | 'length' | null>;

export interface ModelCard {
  id: string;
  object: 'model';
  created: number;
  owned_by: string;
}

export interface EmbeddingRequest {
  model: string;
  input: string | string[];
  encoding_format?: 'float' | 'base64' | null;
  /** only the model's own */
  dimensions?: number | null;
  /** how the model prepares the texts; 'document' by default */
  input_type?: 'query' | 'document' | null;
  user?: string | null;
}

export interface CreateEmbeddingResponse {
  object: 'list';
  data: { object: 'embedding'; index: number; embedding: number[] | string }[];
  model: string;
  usage: { prompt_tokens: number; total_tokens: number };
}

export interface RerankRequest {
  model: string;
  query: string;
  documents: (string | { text: string })[];
  /** how many results, all by default */
  top_n?: number | null;
  return_documents?: boolean | null;
  user?: string | null;
}

export interface RerankResponse {
  object: 'list';
  model: string;
  /** the best first */
  results: { index: number; relevance_score: number; document?: { text: string } }[];
  usage: { prompt_tokens: number; total_tokens: number };
}
