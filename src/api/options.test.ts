import { describe, expect, it } from 'vitest';
import { nearestName, OPTIONS, readOptions, type LoadCallOptions } from './options';

type Call = keyof typeof OPTIONS;
const read = (call: Call, options: unknown): object => readOptions<object>(OPTIONS[call], options as object);
const refusal = (call: Call, options: unknown): { name: string; message: string } => {
  try {
    return { name: 'taken', message: JSON.stringify(read(call, options)) };
  } catch (error) {
    return error as Error;
  }
};

describe('a name that does not exist', () => {
  it.each<[Call, string, string]>([
    ['chat', 'max_tokens', 'maxTokens'],
    ['chat', 'max_new_tokens', 'maxTokens'],
    ['chat', 'max_completion_tokens', 'maxTokens'],
    ['chat', 'n_predict', 'maxTokens'],
    ['generate', 'num_predict', 'maxTokens'],
    ['chat', 'top_p', 'topP'],
    ['chat', 'TopK', 'topK'],
    ['chat', 'min_p', 'minP'],
    ['chat', 'repeat_penalty', 'repetitionPenalty'],
    ['chat', 'repetition_penalty', 'repetitionPenalty'],
    ['chat', 'frequency_penalty', 'frequencyPenalty'],
    ['chat', 'presence_penalty', 'presencePenalty'],
    ['chat', 'temprature', 'temperature'],
    ['chat', 'temp', 'temperature'],
    ['chat', 'stopSequences', 'stop'],
    ['chat', 'stop_token_ids', 'stop'],
    ['chat', 'logit_bias', 'bias'],
    ['chat', 'abortSignal', 'signal'],
    ['chat', 'top_logprobs', 'logprobs'],
    ['chat', 'functions', 'tools'],
    ['chat', 'add_generation_prompt', 'addGenerationPrompt'],
    ['render', 'continue_final_message', 'continueFinalMessage'],
    ['load', 'n_ctx', 'contextLength'],
    ['load', 'contextSize', 'contextLength'],
    ['load', 'context_window_size', 'contextLength'],
    ['load', 'device', 'backend'],
    ['load', 'n_gpu_layers', 'backend'],
    ['load', 'n_threads', 'threads'],
    ['load', 'useCache', 'cache'],
    ['load', 'hf_token', 'token'],
    ['load', 'progressCallback', 'onProgress'],
    ['load', 'progress_callback', 'onProgress'],
    ['load', 'onprogress', 'onProgress'],
    ['download', 'endpoint', 'hub'],
    ['estimate', 'n_ctx', 'contextLength'],
    ['load', 'max_tokens', 'maxTokens of chat'],
    ['load', 'temp', 'temperature of chat'],
    ['tokenize', 'add_bos', 'bos'],
    ['detokenize', 'skip_special_tokens', 'skipSpecial'],
  ])('%s: %s means %s', (call, given, wanted) => {
    const { name, message } = refusal(call, { [given]: 1 });
    expect([name, message]).toEqual([
      'RequestError',
      expect.stringContaining(`"${given}" is no known option, wanted ${wanted}. The options are `),
    ]);
  });

  it('of nothing like it: all names are listed', () => {
    expect(refusal('detokenize', { zzz: 1 }).message).toBe(
      '"zzz" is no known option. The options are skipSpecial, keep.',
    );
    expect(refusal('load', { constructor: 1 }).name).toBe('RequestError');
    expect(nearestName('x'.repeat(1e6), ['signal'])).toBeUndefined();
  });

  it.each([
    ['human', 'user'],
    ['bot', 'assistant'],
    ['asistant', 'assistant'],
    ['User', 'user'],
    ['function', 'tool'],
  ])('the role %s means %s', (given, wanted) =>
    expect(nearestName(given, ['system', 'developer', 'user', 'assistant', 'tool'])).toBe(wanted),
  );
});

describe('a value', () => {
  it.each<[Call, object, RegExp]>([
    ['load', { threads: -3 }, /threads.*got -3, wanted a whole number of at least 1/],
    ['load', { threads: '2' }, /threads.*got "2"/],
    ['load', { cache: 'never' }, /cache.*wanted true or false or "required"/],
    ['load', { backend: 'cuda' }, /backend.*"auto" or "webgpu" or "wasm"/],
    ['load', { contextLength: 1.5 }, /contextLength/],
    ['load', { onProgress: 5 }, /onProgress.*wanted a function/],
    ['load', { signal: {} }, /signal.*wanted an AbortSignal/],
    ['load', { hub: 5 }, /hub.*wanted a text/],
    ['load', { sha256: [1] }, /sha256/],
    ['load', { sha256: 'ab' }, /sha256.*got "ab", wanted 64 hexadecimal digits, or those by file name/],
    ['load', { sha256: { 'a.gguf': 'sha256:' + '0'.repeat(64) } }, /sha256/],
    ['load', { makeRoom: 'yes' }, /makeRoom/],
    ['load', { policy: 3 }, /policy/],
    ['chat', { temperature: -1 }, /temperature.*got -1, wanted 0 \(greedy\) or more/],
    ['chat', { temperature: NaN }, /temperature/],
    ['chat', { temperature: '1' }, /temperature/],
    ['chat', { topK: 1.5 }, /topK/],
    ['chat', { topP: 0 }, /topP/],
    ['chat', { minP: 2 }, /minP/],
    ['chat', { repetitionPenalty: 0 }, /repetitionPenalty/],
    ['chat', { maxTokens: 0 }, /maxTokens/],
    ['chat', { logprobs: 21 }, /logprobs/],
    ['chat', { logprobs: true }, /logprobs/],
    ['chat', { seed: -1 }, /seed/],
    ['chat', { seed: 2 ** 32 }, /seed/],
    ['chat', { stop: '' }, /stop/],
    ['chat', { stop: [''] }, /stop/],
    ['chat', { stop: [1] }, /stop/],
    ['chat', { bias: 5 }, /bias/],
    ['chat', { bias: [1] }, /bias.*wanted numbers by token id/],
    ['chat', { reuse: 1 }, /reuse/],
    ['chat', { tools: { name: 'f' } }, /tools.*wanted a list of objects or texts/],
    ['chat', { tools: [5] }, /tools/],
    ['render', { variables: [] }, /variables/],
    ['detokenize', { keep: 'a' }, /keep/],
  ])('%s refuses %j', (call, options, message) => {
    const error = refusal(call, options);
    expect([error.name, error.message]).toEqual(['RequestError', expect.stringMatching(message)]);
  });

  it.each<[Call, object]>([
    [
      'load',
      {
        threads: 2,
        cache: 'required',
        backend: 'auto',
        check: 'full',
        sha256: { 'a.gguf': '0aF'.padEnd(64, '0') },
        makeRoom: true,
        policy: { attempts: 1 },
        hub: 'https://hub.example',
      },
    ],
    [
      'chat',
      {
        temperature: 0,
        topK: 40,
        topP: 1,
        minP: 0,
        seed: 0,
        stop: ['a', 'b'],
        maxTokens: 1,
        reuse: false,
        logprobs: 0,
        tools: [{ name: 'f' }, '{}'],
        variables: { a: null },
      },
    ],
    ['chat', { stop: [], frequencyPenalty: -1, bias: { 5: -100 } }],
  ])('%s takes %j', (call, options) => expect(read(call, options)).toEqual(options));

  it.each([null, undefined])('%o counts as not said, for an option and for all', (nothing) => {
    expect(read('chat', { temperature: nothing, stop: nothing, signal: nothing, tools: nothing, seed: 1 })).toEqual({
      seed: 1,
    });
    expect(read('chat', nothing)).toEqual({});
  });

  it.each([5, 'fast', [], () => 0])('%o is no set of options', (options) =>
    expect(refusal('chat', options)).toMatchObject({
      name: 'RequestError',
      message: expect.stringContaining('the options'),
    }),
  );

  it('of a URL, a Map, a proxy and an object with functions is read as plain data', () => {
    const proxied = new Proxy(
      { stop: new Proxy(['a'], {}), bias: new Map([[5, -1]]), tools: [{ name: 'f', execute: () => 0 }] },
      {},
    );
    const plain = read('chat', proxied);
    expect(structuredClone(plain)).toEqual({ stop: ['a'], bias: { 5: -1 }, tools: [{ name: 'f' }] });
    expect(read('load', { hub: new URL('https://hub.example/a') })).toEqual({ hub: 'https://hub.example/a' });
  });

  it('of functions and signals is kept: one of another window too', () => {
    const { signal } = new AbortController();
    const onProgress = (): void => undefined;
    expect(read('load', { signal, onProgress })).toEqual({ signal, onProgress });
    const foreign = { aborted: false, addEventListener: () => undefined, removeEventListener: () => undefined };
    expect((read('load', { signal: foreign }) as LoadCallOptions).signal).toBe(foreign);
  });

  it('whose getter throws is refused by name', () => {
    const error = refusal('load', { get threads() { throw new Error('of the page'); } }); // prettier-ignore
    expect(error).toMatchObject({ name: 'RequestError', message: expect.stringContaining('of the page') });
  });
});

describe('a token', () => {
  it.each(['hf_ab-cd.EF~1', ' hf_a\n', ''])('%j can be sent', (token) =>
    expect(read('load', { token })).toEqual({ token }),
  );
  it.each(['hf_\u0442oken', 'hf_a b', 'hf_a\u200b', '\u201chf_a\u201d', 'hf_a\nhf_b'])(
    '%j is refused, and no message has it',
    (token) => {
      for (const call of ['load', 'download', 'estimate', 'room'] as const)
        expect(refusal(call, { token })).toMatchObject({
          name: 'RequestError',
          message: 'The value of token is not valid, wanted a text of visible ASCII characters.',
        });
    },
  );
});
