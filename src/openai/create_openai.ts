/** The interface as an object, with the members of OpenAI's own client. */
import { createChatCompletions, type ChatCompletions } from './chat_completions';
import { createCompletions, type Completions } from './completions';
import { createEmbeddings, createRerank, type Embeddings, type Rerank } from './embeddings';
import { createModelTable } from './models';
import { createResponses, type Responses } from './responses';
import { runTools, type RunToolsOptions, type RunToolsRequest, type RunToolsResult } from './run_tools';
import { show } from '../errors';
import { refuse } from './openai_error';
import type { ModelCard, Models } from './types';

export interface OpenAI {
  chat: {
    completions: ChatCompletions & {
      /**
       * Answers with tools: runs the calls of each answer, and asks again with their results. A handler that throws, or
       * gives nothing in time, is reported to the model.
       * @throws OpenAIError, AbortError
       */
      runTools(request: RunToolsRequest, options?: RunToolsOptions): Promise<RunToolsResult>;
    };
  };
  completions: Completions;
  responses: Responses;
  embeddings: Embeddings;
  rerank: Rerank;
  models: {
    list(): Promise<{ object: 'list'; data: ModelCard[] }>;
    /** @throws OpenAIError 404 */
    retrieve(id: string): Promise<ModelCard>;
  };
}

/**
 * OpenAI's interface over loaded models. Nothing is sent anywhere.
 * @param models one model, or models by the names that requests use. A function loads its model for the first request
 * @throws OpenAIError if there is no model
 */
export function createOpenAI(models: Models): OpenAI {
  const table = createModelTable(models);
  const completions = createChatCompletions(table);
  return {
    chat: {
      completions: { ...completions, runTools: (request, options) => runTools(completions, request, options) },
    },
    completions: createCompletions(table),
    responses: createResponses(table),
    embeddings: createEmbeddings(table),
    rerank: createRerank(table),
    models: {
      list: async () => ({ object: 'list', data: table.list() }),
      retrieve: async (id) =>
        table.list().find((card) => card.id === id) ??
        refuse('model', { what: 'There is no model of this name', got: show(id) }, 'model_not_found', 404),
    },
  };
}
