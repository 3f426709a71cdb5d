/** What is known of this device, and how fast it was measured to be. */
import type { BackendInfo, LoadEstimate, Model } from '../../../src/index';
import { keep, kept } from '../history';
import { activeBytes } from './active_bytes';
import { hasMemory64 } from './memory64';
import type { Device } from './recommend';

/** What newer browsers tell; TypeScript's DOM does not have all of it. */
interface NavigatorHints {
  deviceMemory?: number;
  userAgentData?: { mobile?: boolean };
  connection?: { saveData?: boolean };
}

/**
 * Small models run in the processor's cache and spend most of their time beside the weights: their bytes per second say
 * little.
 */
const SMALL_BYTES = 50e6;
/** tokens of a reply from which its speed counts */
const LEAST_TOKENS = 32;

type Where = Pick<BackendInfo, 'name' | 'threads'>;
const placeOf = ({ name, threads = 1 }: Where): string => `${name} ${threads}`;

function measured(where: Where): number | undefined {
  const all = kept('speeds');
  const value = typeof all === 'object' && all !== null ? (all as Record<string, unknown>)[placeOf(where)] : undefined;
  return typeof value === 'number' && value > 0 && Number.isFinite(value) ? value : undefined;
}

function remember(where: Where, throughput: number): void {
  const all = kept('speeds');
  keep('speeds', { ...(typeof all === 'object' ? all : {}), [placeOf(where)]: Math.round(throughput) });
}

/** @param model the loaded one: a larger one would run on the same backend */
export function readDevice(model: Model | undefined): Device {
  const hints = navigator as NavigatorHints;
  const backend = model?.info.backend;
  const where: Where = backend ?? { name: 'wasm', threads: crossOriginIsolated ? navigator.hardwareConcurrency : 1 };
  const throughput = measured(where);
  return {
    ...(hints.deviceMemory && { memory: hints.deviceMemory * 2 ** 30 }),
    mobile: hints.userAgentData?.mobile ?? /Android|iPhone|iPad|iPod|Mobile/.test(navigator.userAgent),
    saveData: hints.connection?.saveData ?? false,
    backend: where.name === 'webgpu' ? 'webgpu' : 'wasm',
    threads: where.threads ?? 1,
    memory64: hasMemory64(),
    ...(throughput && { throughput }),
  };
}

/** Keeps the speed of an estimate, for what the page says of the other models. */
export function learnFromEstimate(
  estimate: Pick<LoadEstimate, 'backend' | 'bytes' | 'config' | 'tokensPerSecond'>,
): void {
  if (estimate.bytes >= SMALL_BYTES) remember(estimate.backend, activeBytes(estimate) * estimate.tokensPerSecond);
}

/** The same of a reply. */
export function learnFromReply({ info }: Model, tokens: number, tokensPerSecond: number): void {
  if (info.bytes >= SMALL_BYTES && tokens >= LEAST_TOKENS) remember(info.backend, activeBytes(info) * tokensPerSecond);
}
