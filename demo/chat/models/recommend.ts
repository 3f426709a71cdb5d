/** Which model suits a device: whether it fits into the memory, how fast it runs, and the one to recommend. */
import type { Offer } from './catalogue';

export interface Device {
  /** bytes of memory, as far as the browser says: it rounds down, and most browsers say nothing */
  memory?: number;
  mobile: boolean;
  /** the user asks sites to save data */
  saveData: boolean;
  /** where a model would run */
  backend: 'webgpu' | 'wasm';
  threads: number;
  /** WASM has 64-bit memory */
  memory64?: boolean;
  /** bytes of weights that this device reads in a second, measured on it with the same backend and threads */
  throughput?: number;
}

export type Fit = 'fits' | 'tight' | 'too large';

/** The peak of a load in a page is up to 1.55 times the file, and at most this more than a large one (measured). */
const MOST_PER_BYTE = 1.55;
const MOST_BESIDE = 600e6;
/** of WASM with 32-bit memory, and with 64-bit memory */
const WASM_MAX_BYTES = [2 ** 32, 2 ** 34];
/**
 * Bytes of weights per second where nothing was measured: a thread of a laptop's CPU, and the GPU of a laptop. Phones
 * have less.
 */
const GUESS = { thread: 4e9, threads: 4, gpu: 20e9, mobile: 0.5 };
/** slower than people read with ease */
const LEAST_SPEED = 20;
/** what is recommended on a phone, where data is saved, and as long as nothing was measured */
const MODEST_BYTES = 250e6;

type Sizes = Pick<Offer, 'megabytes' | 'activeMegabytes'>;
const sizeIn = ({ megabytes }: Sizes): number => megabytes * 1e6;
/** The memory that a model of this size needs while it is loaded. */
export const peakOf = (bytes: number): number => Math.min(bytes * MOST_PER_BYTE, bytes + MOST_BESIDE);

/** The memory that a page can have. Phones end pages that take more. */
export const memoryLimit = ({ memory, mobile }: Pick<Device, 'memory' | 'mobile'>): number =>
  memory === undefined ? (mobile ? 1.5e9 : 6e9) : memory * (mobile ? 0.5 : 0.75);

/** Whether models of these sizes can be in memory at once. */
export const fitTogether = (device: Device, bytes: readonly number[]): boolean =>
  bytes.reduce((sum, size) => sum + peakOf(size), 0) <= memoryLimit(device);

/** The same of a backend. */
export const memoryFor = (device: Pick<Device, 'memory' | 'mobile' | 'backend' | 'memory64'>): number =>
  Math.min(memoryLimit(device), device.backend === 'wasm' ? WASM_MAX_BYTES[Number(!!device.memory64)] : Infinity);

/** All weights of a mixture of experts are in memory. */
export function fitOf(offer: Sizes, device: Pick<Device, 'memory' | 'mobile' | 'backend' | 'memory64'>): Fit {
  const need = peakOf(sizeIn(offer));
  if (need > memoryFor(device)) return 'too large';
  return need > memoryLimit(device) / 2 ? 'tight' : 'fits';
}

/** Tokens per second: each token reads all weights once, but of the experts only its own. */
export function speedOf(
  { megabytes, activeMegabytes = megabytes }: Sizes,
  { backend, threads, mobile, throughput }: Device,
): number {
  const guess =
    (backend === 'webgpu' ? GUESS.gpu : GUESS.thread * Math.min(threads, GUESS.threads)) * (mobile ? GUESS.mobile : 1);
  return (throughput ?? guess) / (activeMegabytes * 1e6);
}

const isMixture = ({ megabytes, activeMegabytes = megabytes }: Sizes): boolean => activeMegabytes < megabytes;

/**
 * The largest of the offers that fits and is fast enough, else the smallest that fits. On phones no mixture of experts:
 * it would take the memory of all other pages.
 */
export function recommend<T extends Sizes & Pick<Offer, 'previous' | 'pictures'>>(
  offers: readonly T[],
  device: Device,
): T | undefined {
  const modest = device.mobile || device.saveData || device.throughput === undefined;
  const fitting = offers
    .filter((offer) => !offer.previous && !offer.pictures && !(device.mobile && isMixture(offer)))
    .filter((offer) => fitOf(offer, device) !== 'too large')
    .sort((a, b) => a.megabytes - b.megabytes);
  const good = fitting.filter(
    (offer) =>
      fitOf(offer, device) === 'fits' &&
      speedOf(offer, device) >= LEAST_SPEED &&
      (!modest || sizeIn(offer) <= MODEST_BYTES),
  );
  return good.at(-1) ?? fitting[0];
}
