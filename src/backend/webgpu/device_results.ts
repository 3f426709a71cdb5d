/**
 * Stores the results of the self test and of the tuner for this adapter, browser, build and registered shaders. Without
 * storage (Node, private windows) they run each time.
 */
import { createStore, get, set } from 'idb-keyval';
import { adapterName } from './adapter';
import type { OpenedDevice } from './device';
import { shaderVersion } from './shader';

/** @param name of the result: 'tunings', or a kernel variant */
export async function loadPersistedDeviceResult<T>(opened: OpenedDevice, name: string): Promise<T | undefined> {
  try {
    return await get<T>(keyOf(opened, name), store());
  } catch {
    return undefined;
  }
}

export async function persistDeviceResult(opened: OpenedDevice, name: string, result: unknown): Promise<void> {
  try {
    await set(keyOf(opened, name), result, store());
  } catch {
    return;
  }
}

const store = () => createStore('rivulet-devices', 'verdicts');

/** Some browsers do not name adapters; then features and limits tell adapters apart. */
const keyOf = ({ info, device: { features, limits } }: OpenedDevice, name: string): string =>
  [
    adapterName(info),
    info.device,
    limits.maxBufferSize,
    limits.maxStorageBufferBindingSize,
    [...features].sort(),
    globalThis.navigator?.userAgent,
    shaderVersion(),
    name,
  ].join(' | ');
