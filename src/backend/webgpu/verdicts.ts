/** What was found out about a device is kept for this adapter, browser and build. Without storage (Node, private windows) it is found out each time. */
import { createStore, get, set } from 'idb-keyval';
import { build } from 'virtual:rivulet-shaders';
import { describeAdapter } from './adapter';
import type { OpenedDevice } from './device';

/** @param about what the verdict is on: 'tunings', a variant */
export async function recall<T>(opened: OpenedDevice, about: string): Promise<T | undefined> {
  try {
    return await get<T>(keyOf(opened, about), store());
  } catch {
    return undefined;
  }
}

export async function keep(opened: OpenedDevice, about: string, verdict: unknown): Promise<void> {
  try {
    await set(keyOf(opened, about), verdict, store());
  } catch {
    return;
  }
}

const store = () => createStore('rivulet-devices', 'verdicts');

/** Some browsers do not name adapters: what they offer tells one from another then. */
const keyOf = ({ info, device: { features, limits } }: OpenedDevice, about: string): string =>
  [describeAdapter(info), info.device, limits.maxBufferSize, limits.maxStorageBufferBindingSize, [...features].sort(), globalThis.navigator?.userAgent, build, about].join(' | ');
