/** The types of the Responses API, with the names that OpenAI gives them, as far as it is served. */
import type { SchemaReport } from '../index';
import type { SamplingRequest, Timings, ToolCallError } from './types';

export interface ResponseTextInput {
  type: 'input_text' | 'output_text';
  text: string;
}

/** For a model with vision. */
export interface ResponseImageInput {
  type: 'input_image';
  /** an address, also a data: address */
  image_url: string;
  /** low: the picture is not split into tiles */
  detail?: 'auto' | 'low' | 'high' | null;
}

export interface ResponseMessageInput {
  type?: 'message';
  id?: string;
  role: 'user' | 'system' | 'developer' | 'assistant';
  content: string | readonly (ResponseTextInput | ResponseImageInput)[];
  status?: string;
}

export interface ResponseFunctionCall {
  type: 'function_call';
  id?: string;
  call_id: string;
  name: string;
  /** a JSON text */
  arguments: string;
  status?: 'in_progress' | 'completed' | 'incomplete';
}

export interface ResponseFunctionCallOutput {
  type: 'function_call_output';
  id?: string;
  call_id: string;
  output: string | readonly ResponseTextInput[];
  status?: string;
}

export interface ResponseReasoning {
  type: 'reasoning';
  id?: string;
  summary: readonly { type: 'summary_text'; text: string }[];
  content?: readonly { type: 'reasoning_text'; text: string }[];
  status?: string;
}

/** An item of an earlier response. */
export interface ResponseItemReference {
  type: 'item_reference';
  id: string;
}

export type ResponseInputItem =
  ResponseMessageInput | ResponseFunctionCall | ResponseFunctionCallOutput | ResponseReasoning | ResponseItemReference;

export interface ResponseFunctionTool {
  type: 'function';
  name: string;
  description?: string | null;
  parameters?: Record<string, unknown> | null;
  strict?: boolean | null;
}

export type ResponseTextFormat =
  | { type: 'text' }
  | { type: 'json_object' }
  | {
      type: 'json_schema';
      name: string;
      description?: string;
      schema: Record<string, unknown>;
      strict?: boolean | null;
    };

export type ResponseToolChoice = 'none' | 'auto' | 'required' | { type: 'function'; name: string };

export interface ResponseRequest extends Omit<SamplingRequest, 'stop'> {
  model: string;
  input: string | readonly ResponseInputItem[];
  /** a system message, for this response only */
  instructions?: string | null;
  stream?: boolean | null;
  max_output_tokens?: number | null;
  tools?: readonly ResponseFunctionTool[];
  tool_choice?: ResponseToolChoice | null;
  parallel_tool_calls?: boolean | null;
  text?: { format?: ResponseTextFormat } | null;
  /** goes on with this response, which the page has kept */
  previous_response_id?: string | null;
  /** whether the page keeps this response; true if it is not said */
  store?: boolean | null;
  /** a conversation that is longer than the context: its oldest requests go (`auto`), or an error */
  truncation?: 'auto' | 'disabled' | null;
  metadata?: Record<string, string> | null;
  user?: string;
}

export interface ResponseOutputText {
  type: 'output_text';
  text: string;
  annotations: never[];
  logprobs: never[];
}

export interface ResponseOutputMessage {
  type: 'message';
  id: string;
  status: 'in_progress' | 'completed' | 'incomplete';
  role: 'assistant';
  content: ResponseOutputText[];
}

export type ResponseOutputItem =
  | ResponseOutputMessage
  | (ResponseFunctionCall & { id: string; status: 'in_progress' | 'completed' | 'incomplete' })
  | {
      type: 'reasoning';
      id: string;
      summary: never[];
      content: { type: 'reasoning_text'; text: string }[];
      status: 'in_progress' | 'completed' | 'incomplete';
    };

export interface ResponseUsage {
  input_tokens: number;
  input_tokens_details: { cached_tokens: number };
  output_tokens: number;
  total_tokens: number;
}

/** An answer of the Responses API. */
export interface ModelResponse {
  id: string;
  object: 'response';
  created_at: number;
  status: 'in_progress' | 'completed' | 'incomplete' | 'failed';
  error: { code: string; message: string } | null;
  incomplete_details: { reason: 'max_output_tokens' } | null;
  instructions: string | null;
  max_output_tokens: number | null;
  metadata: Record<string, string>;
  model: string;
  output: ResponseOutputItem[];
  /** all texts of the output */
  output_text: string;
  parallel_tool_calls: boolean;
  previous_response_id: string | null;
  store: boolean;
  temperature: number | null;
  text: { format: ResponseTextFormat };
  tool_choice: ResponseToolChoice;
  tools: readonly ResponseFunctionTool[];
  top_p: number | null;
  truncation: 'auto' | 'disabled';
  usage: ResponseUsage | null;
  timings?: Timings;
  tool_call_errors?: ToolCallError[];
  schema_report?: SchemaReport;
}

interface OfItem {
  item_id: string;
  output_index: number;
}
type OfPart = OfItem & { content_index: number };
type Part = ResponseOutputText | { type: 'reasoning_text'; text: string };

type ResponseEventBody =
  | {
      type:
        'response.created' | 'response.in_progress' | 'response.completed' | 'response.incomplete' | 'response.failed';
      response: ModelResponse;
    }
  | {
      type: 'response.output_item.added' | 'response.output_item.done';
      output_index: number;
      item: ResponseOutputItem;
    }
  | (OfPart & { type: 'response.content_part.added' | 'response.content_part.done'; part: Part })
  | (OfPart & { type: 'response.output_text.delta'; delta: string; logprobs: never[] })
  | (OfPart & { type: 'response.output_text.done'; text: string; logprobs: never[] })
  | (OfPart & { type: 'response.reasoning_text.delta'; delta: string })
  | (OfPart & { type: 'response.reasoning_text.done'; text: string })
  | (OfItem & { type: 'response.function_call_arguments.delta'; delta: string })
  | (OfItem & { type: 'response.function_call_arguments.done'; arguments: string; name: string });

/** An event of a stream. */
export type ResponseStreamEvent = ResponseEventBody & { sequence_number: number };
/** The same before it has its number. */
export type UnnumberedEvent = ResponseEventBody;
