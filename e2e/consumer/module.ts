/**
 * A strict project that uses all that the package exports; e2e/package.spec.ts compiles it against the packed tarball.
 */
import {
  deleteModel,
  downloadModel,
  estimate,
  exportModel,
  forgetConversations,
  importModel,
  listModels,
  load,
  modelRoom,
  storedModelBytes,
  pinModel,
  readCalls,
  verifyModel,
  type AnswerPart,
  type BackendInfo,
  type CachedModel,
  type ChatOptions,
  type ChosenLogprob,
  type EvictionConsent,
  type DownloadOptions,
  type EmbedOptions,
  type EncodeDocumentsOptions,
  type EncodeQueryOptions,
  type ErrorName,
  type ErrorParts,
  type LoadEstimate,
  type EstimateOptions,
  type EvictionRequest,
  type GenerateOptions,
  type GenerationResult,
  type ImageEstimate,
  type ImageTokens,
  type ImportedConversation,
  type LoadCallOptions,
  type LoadOptions,
  type Logprob,
  type Message,
  type Model,
  type ModelCopies,
  type ModelInfo,
  type ModelSource,
  type Overflow,
  type Progress,
  type RenderOptions,
  type ResponseFormat,
  type SchemaReport,
  type ScoredChoice,
  type ModelRoom,
  type ParsedAnswer,
  type ReadCallsOptions,
  type EngineStatus,
  type TextStream,
  type ToolCall,
  type ToolChoice,
  type VerificationResult,
} from 'rivulet';

export type Is<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Fails to compile where the types differ, `any` included. */
const same = <A, B>(..._: Is<A, B> extends true ? [] : ['the types differ']): void => undefined;

const show = (...values: (string | number | boolean | undefined)[]): void => document.body.append(values.join(' '));

const onProgress = ({ phase, bytes, total, rate, eta, file, cause }: Progress): void =>
  show(phase, bytes, total, rate, eta?.toFixed(0), file, cause);
const makeRoom: EvictionConsent = ({ id, needed, free, victims }: EvictionRequest) =>
  victims.every(({ lastUsed }) => lastUsed.getTime() < Date.now()) && confirm(`${id}: ${needed} of ${free ?? '?'}`);
const confirmCopy = ({ count, memory }: ModelCopies): boolean => confirm(`${count} more, ${memory} bytes`);
const signal = AbortSignal.timeout(60_000);

export function sources(file: File, directory: FileSystemDirectoryHandle, handle: FileSystemFileHandle): ModelSource[] {
  return [
    'LiquidAI/LFM2-350M-GGUF:Q4_0',
    { url: './model.gguf' },
    { url: ['./a.gguf', './b.gguf'] },
    file,
    { file, name: 'mine' },
    { files: [file] },
    directory,
    handle,
  ];
}

export async function talk(source: ModelSource): Promise<Model> {
  const options: LoadOptions = {
    backend: 'wasm',
    threads: 2,
    contextLength: 2048,
    cache: 'required',
    check: 'full',
    sha256: { 'model.gguf': '00' },
    hub: 'https://hub.example',
    token: 'secret',
    makeRoom,
  };
  const call: LoadCallOptions = {
    ...options,
    onProgress,
    confirmCopy,
    signal,
    saveConversations: true,
    constraints: true,
    speculation: true,
  };
  const model = await load(source, call);
  same<typeof model, Model>();

  const info: ModelInfo = model.info;
  const backend: BackendInfo = info.backend;
  show(
    info.id,
    info.name,
    info.quantization,
    info.bytes,
    info.contextLength,
    info.cached,
    info.memory,
    info.chat,
    info.vision,
    info.loadMs,
    ...info.notes,
  );
  show(
    info.config.vocabSize,
    info.sampling.temperature,
    backend.name,
    backend.device,
    backend.variant,
    backend.threads,
    ...backend.notes,
  );

  const messages: readonly Message[] = [
    { role: 'system', content: 'Answer briefly.' },
    { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
  ];
  const render: RenderOptions = {
    tools: [{ name: 'set_timer' }],
    addGenerationPrompt: true,
    continueFinalMessage: false,
    variables: { keep_past_thinking: true },
  };
  const sampling: GenerateOptions = {
    temperature: 0,
    topK: 40,
    seed: 1,
    bias: new Map([[7, -1]]),
    maxTokens: 20,
    stop: ['\n'],
    stopRepetition: true,
    reuse: false,
    logprobs: 2,
  };
  const overflow: Overflow = (all) => all.slice(-1);
  const toolChoice: ToolChoice = { name: 'set_timer' };
  const chat: ChatOptions = { ...sampling, ...render, overflow, toolChoice };
  const responseFormat: ResponseFormat = { type: 'json_schema', schema: { type: 'object' } };
  const held = await model.generate('{', { responseFormat }).result;
  const report: SchemaReport | undefined = held.schemaReport;
  show(held.text, report?.valid, report?.unenforced.length, report?.unchecked.length);
  const scored: ScoredChoice[] = await model.score(messages, ['yes', 'no'], { signal });
  for (const { text, probability, logprob } of scored) show(text, probability, logprob);
  await model.saveConversations();
  const file = await model.exportConversation([{ role: 'user', content: 'Hello' }], { variables: { a: 1 } });
  const imported: ImportedConversation = await model.importConversation(file, { state: false });
  show(imported.messages.length, imported.tokens, imported.note);
  await model.forgetConversations();
  await forgetConversations(info.id);
  const stream: TextStream = model.chat(messages, { ...chat, signal });
  for await (const text of stream) show(text.trim());
  for await (const part of model.chat(messages).parts) {
    const { type, text }: AnswerPart = part;
    show(type === 'reasoning', text.trim());
  }
  const result: GenerationResult = await stream.result;
  show(
    result.reasoning,
    result.text,
    result.finish === 'abort',
    result.promptTokens,
    result.reusedTokens,
    result.tokens,
    result.seed,
    result.firstTokenMs,
    result.tokensPerSecond,
  );
  for (const { id, logprob, top } of result.logprobs ?? []) {
    const chosen: ChosenLogprob = { id, logprob, top };
    const best: Logprob | undefined = chosen.top[0];
    show(best?.id, best && Math.exp(best.logprob));
  }

  const offered: ReadCallsOptions = { tools: [{ name: 'set_timer' }] };
  const { text, calls, broken }: ParsedAnswer = readCalls(result.text, offered);
  const names = calls.map(({ name, arguments: given }: ToolCall) => `${name}(${Object.keys(given).join()})`);
  show(text, ...names, ...broken);

  const ids = await model.tokenize('tea', { bos: true, special: false });
  same<typeof ids, number[]>();
  show(
    await model.detokenize(ids, { skipSpecial: true }),
    await model.render(messages, render),
    (await model.logits(ids, 64)).length,
  );
  for await (const piece of model.generate(ids, sampling)) show(piece);
  const status: EngineStatus = await model.status();
  show(status.state, status.memory);
  await model.unload();
  return model;
}

export async function keep(source: ModelSource): Promise<void> {
  const look: EstimateOptions = { backend: 'auto', contextLength: 4096 };
  const told: LoadEstimate = await estimate(source, { ...look, signal });
  show(
    told.fits,
    told.download,
    told.free,
    told.memory.total,
    told.tokensPerSecond,
    told.backend.name,
    ...told.obstacles,
    ...told.notes,
  );
  const room: ModelRoom = await modelRoom(source, { signal });
  show(room.id, room.needed, room.free, room.enough, room.message);

  const options: DownloadOptions = { onProgress, signal, makeRoom: true, refresh: true, sha256: '00' };
  const id = await downloadModel(source, options);
  same<typeof id, string>();
  const verification: VerificationResult = await verifyModel(id, { onProgress, signal });
  show(verification.ok, ...verification.damaged.map(({ file, index }) => `${file} ${index}`), ...verification.foreign);
  const blob = await exportModel(id, { signal });
  same<typeof blob, Blob>();
  await pinModel(await importModel(blob, { onProgress }), false);
  const models: CachedModel[] = await listModels();
  for (const { id, bytes, storedBytes, complete, files, revision, added, lastUsed, pinned } of models)
    show(
      id,
      bytes,
      storedBytes,
      complete,
      files[0]?.name,
      revision,
      added.toISOString(),
      lastUsed.toISOString(),
      pinned,
      await storedModelBytes(id),
    );
  await deleteModel(id, { wait: false, signal });
}

export function explain(error: unknown): string {
  const cures: Record<ErrorName, string> = {
    CheckpointError: 'another file',
    SourceError: 'the network',
    StorageError: 'room',
    MemoryError: 'a shorter context',
    DeviceError: 'another backend',
    ContextError: 'a shorter prompt',
    RequestError: 'other options',
  };
  const { cure } = error as Partial<ErrorParts>;
  return cure ?? (error instanceof Error && error.name in cures ? cures[error.name as ErrorName] : String(error));
}

export async function pictures(model: Model, canvas: HTMLCanvasElement, photo: Blob): Promise<string> {
  const imageTokens: ImageTokens = { min: 64, max: 128, tiling: false };
  const { tokens, columns, rows }: ImageEstimate = await model.estimateImage(canvas.width, canvas.height, imageTokens);
  show(tokens, columns, rows);
  const content = [canvas, photo, './photo.png'].map((image) => ({ type: 'image', image }));
  const messages = [{ role: 'user', content: [...content, { type: 'text', text: 'What?' }] }];
  return (await model.chat(messages, { imageTokens, onTiles: (done, total) => show(done, total) }).result).text;
}

export async function retrieve(model: Model, signal: AbortSignal): Promise<number> {
  const padding: EncodeQueryOptions = { padding: 'kept', signal };
  const watched: EncodeDocumentsOptions = { onProgress: (done, total) => void (done / total), signal };
  const kind: EmbedOptions = { kind: 'query', signal };
  const query: Float32Array = await model.encodeQuery('tide pools', padding);
  let best = -Infinity;
  for await (const document of model.encodeDocuments(['A tide pool'], watched))
    best = Math.max(best, model.similarity(query, document));
  const vectors: Float32Array[] = await model.embed(['A tide pool'], kind);
  return best + vectors.length;
}
