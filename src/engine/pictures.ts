/**
 * The pictures of a model that sees: each is known by a hash, has tokens of its own in prompts, and keeps its features.
 * Such a token is no id of the vocabulary but says which part of which picture it is: so prompts with other pictures
 * differ, and what a state has read of a picture is never read again.
 */
import { fail, show } from '../errors';
import type { VisionConfig } from '../model/config';
import { createSha256, sha256 } from '../store/sha256';
import type { ImageTokens } from '../text/chat_template';
import type { Tokenizer } from '../text/tokenizer';
import { layoutOf, type LayoutRules, type PictureLayout } from '../vision/layout';
import { IMAGE_TOKEN, pictureText } from '../vision/prompt';
import type { Pixels, PixelStrips } from '../vision/resize';
import { cutPicture, type TiledPicture } from '../vision/tiles';
import { pictureBytes, pixelsOf, withBitmap, withDecodedFile, type WorkerImage } from './decode_picture';
import { FIRST_PICTURE_TOKEN } from './picture_tokens';
import { patchesOfCall } from './vision_encoder';
import type { ImageEstimate } from './vision_hook';

export interface Picture {
  readonly number: number;
  /** ids of the prompt: special tokens, and the picture's own */
  readonly ids: readonly number[];
  /** until there are features */
  tiles?: TiledPicture['tiles'];
  /** the features of the first of them, until all are there: other calls have turns in between */
  parts: Float32Array[];
  /** the number of these tiles */
  encoded: number;
  /** called with the number of tiles that were just encoded */
  readonly watching: Set<(tiles: number) => void>;
  /** [n, D], of its own tokens in their order */
  features?: Float32Array<ArrayBuffer>;
  /** calls that use it */
  uses: number;
}

/** Of all pictures; the least recently used that no call uses go first. */
const MAX_BYTES = 2 ** 27;

export class Pictures {
  /** by hash, the least recently used first */
  private readonly all = new Map<string, Picture>();
  private readonly places = new Map<number, { picture: Picture; row: number }>();
  private count = 0;
  /** of the last call of the encoder */
  secondsPerPatch?: number;

  /** @param split that of the tokenizer, for the special tokens alone */
  constructor(
    private readonly config: VisionConfig,
    private readonly split: Tokenizer['split'],
  ) {}

  /**
   * A picture for a call, which must release it. One that is known is not decoded again.
   * @throws RequestError, SourceError, CheckpointError, AbortError
   */
  async take(image: WorkerImage, tokens: ImageTokens | undefined, signal?: AbortSignal): Promise<Picture> {
    const rules = this.rules(tokens);
    const cut = (pixels: Pixels | PixelStrips): TiledPicture => cutPicture(pixels, rules);
    // to cut a picture takes longer than to hash it
    const takePixels = (pixels: Pixels | PixelStrips): Picture => {
      const hash = hashOf([rules.preparation, pixels.width, pixels.height], stripsOf(pixels));
      return this.use(hash, this.find(hash) ?? this.add(hash, cut(pixels)));
    };
    if (typeof image === 'string' || image instanceof Blob) {
      const bytes = await pictureBytes(image, signal);
      const hash = hashOf(rules.preparation, [await sha256(bytes)]);
      return this.use(hash, this.find(hash) ?? this.add(hash, await withDecodedFile(bytes, cut)));
    }
    return 'data' in image ? takePixels(pixelsOf(image)) : withBitmap(image, takePixels);
  }

  /** Ends the use of a picture. */
  release(picture: Picture): void {
    picture.uses--;
    let bytes = [...this.all.values()].reduce((sum, one) => sum + sizeOf(one), 0);
    for (const [hash, one] of this.all) {
      if (bytes <= MAX_BYTES) break;
      if (one.uses) continue;
      bytes -= sizeOf(one);
      this.all.delete(hash);
      for (const id of one.ids) this.places.delete(id);
    }
  }

  /** The ids of the prompt that a picture has. */
  idsOf(number: number): readonly number[] {
    return [...this.all.values()].find((one) => one.number === number)?.ids ?? [];
  }

  /** The picture and the row of its features that a token stands for; undefined if the picture went. */
  placeOf(token: number): { picture: Picture; row: number } | undefined {
    return this.places.get(token);
  }

  /** @throws RequestError */
  estimate(width: number, height: number, tokens?: ImageTokens): ImageEstimate {
    for (const side of [width, height])
      if (!Number.isInteger(side) || side < 1 || side > 2 ** 20)
        fail('RequestError', { what: 'The size of the picture is not valid', got: show(side), wanted: 'pixels' });
    const layout = layoutOf(width, height, this.rules(tokens));
    const { cols: columns, rows } = layout;
    const seconds = this.secondsPerPatch && this.secondsPerPatch * patchesOf(layout, this.config);
    return { tokens: this.split(pictureText(layout)).length, columns, rows, ...(seconds && { seconds }) };
  }

  private find = (hash: Uint8Array): Picture | undefined => this.all.get(hash.join());

  private use(hash: Uint8Array, picture: Picture): Picture {
    picture.uses++;
    this.all.delete(hash.join());
    this.all.set(hash.join(), picture);
    return picture;
  }

  private add(hash: Uint8Array, { layout, tiles }: TiledPicture): Picture {
    const known = this.find(hash); // another call may have added it
    if (known) return known;
    const parts = this.split(pictureText(layout));
    const missing = parts.find(({ id }) => id === undefined)?.text;
    if (missing !== undefined)
      fail('CheckpointError', {
        what: "The model's vocabulary has no tokens for pictures",
        got: `no ${missing.slice(0, 40)}`,
        cure: 'Use another copy of the model.',
      });
    const count = parts.filter(({ text }) => text === IMAGE_TOKEN).length;
    const own = this.tokensOf(hash, count);
    let row = 0;
    const ids = parts.map(({ text, id }) => (text === IMAGE_TOKEN ? own[row++] : id!));
    const picture: Picture = { number: this.count++, ids, tiles, parts: [], encoded: 0, watching: new Set(), uses: 0 };
    own.forEach((id, i) => this.places.set(id, { picture, row: i }));
    return picture;
  }

  /** Numbers that no other picture has; eight of them spell the hash. */
  private tokensOf(hash: Uint8Array, count: number): number[] {
    const words = new DataView(hash.buffer, hash.byteOffset);
    const own = Array.from({ length: count }, (_, i) => {
      const word = words.getUint32(4 * (i % 8)) + Math.imul(i >> 3, 0x9e3779b1);
      return FIRST_PICTURE_TOKEN + (word & (FIRST_PICTURE_TOKEN - 1));
    });
    const taken = new Set(own).size < count || own.some((id) => this.places.has(id));
    return taken ? this.tokensOf(createSha256().update(hash).digest(), count) : own;
  }

  /** @throws RequestError */
  private rules(tokens: ImageTokens = {}): LayoutRules {
    const { config } = this;
    const { minTokens, maxTokens, splits } = config.preparation;
    const most = patchesOfCall(config) / config.downsample ** 2;
    const { max = maxTokens, min = Math.min(minTokens, max), tiling = splits, ...others } = tokens;
    const valid = [min, max].every((n) => Number.isInteger(n) && n >= 1 && n <= most) && min <= max;
    if (!valid || typeof tiling !== 'boolean' || Object.keys(others).length)
      fail('RequestError', {
        what: 'imageTokens is not valid',
        got: JSON.stringify(tokens),
        wanted: `{ min, max, tiling }: numbers from 1 to ${most}, and true or false`,
      });
    return { ...config, preparation: { ...config.preparation, minTokens: min, maxTokens: max, splits: tiling } };
  }
}

function patchesOf({ cols, rows, whole }: PictureLayout, { patchSize: P, preparation }: VisionConfig): number {
  const tiles = cols * rows > 1 ? cols * rows * (preparation.tileSize / P) ** 2 : 0;
  return tiles + (whole ? (whole.width * whole.height) / P ** 2 : 0);
}

const sizeOf = ({ tiles = [], parts, features }: Picture): number => {
  const floats = [...parts, features].reduce((sum, one) => sum + (one?.byteLength ?? 0), 0);
  return [...new Set(tiles.map(({ pixels }) => pixels))].reduce((sum, { length }) => sum + length, floats);
};

function* stripsOf(picture: Pixels | PixelStrips): Generator<Uint8Array> {
  const { width, height, channels } = picture;
  for (let row = 0; row < height;) {
    const { data } = 'data' in picture ? picture : picture.strip(row);
    yield new Uint8Array(data.buffer, data.byteOffset, data.length);
    row += data.length / (channels * width);
  }
}

/** Of a picture, and of how it is cut. */
function hashOf(how: unknown, parts: Iterable<Uint8Array>): Uint8Array {
  const hash = createSha256().update(new TextEncoder().encode(JSON.stringify(how)));
  for (const part of parts) hash.update(part);
  return hash.digest();
}
