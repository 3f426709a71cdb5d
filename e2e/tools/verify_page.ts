/** What verify.ts and verify_texts.ts compare, and the page in which they do. */
import type { Backend } from '../../src/backend/backend';
import type { Probe } from '../probe';

export type BackendName = 'wasm' | 'webgpu' | 'reference';

/** How prompts are fed: `chunk` tokens at a time, those of at most `longest` tokens. */
export interface Feed {
  chunk: number;
  longest?: number;
}

export interface VerifyOptions {
  expected: string;
  backend: BackendName;
  threads?: number;
  exact?: boolean;
  /** WASM in a page: with 64-bit memory */
  memory64?: boolean;
  /** default all */
  files?: readonly string[];
  /** by name, default all */
  prompts?: readonly string[];
  /**
   * one after the other on the same loaded model, by default in one batch; of the later ones only what differs from the
   * first
   */
  feeds?: readonly Feed[];
  variant?: 'simd' | 'relaxed';
  subgroups?: boolean;
  /** WebGPU: the kernels that round activations to int8, everywhere */
  int8?: boolean;
  browser?: 'chromium' | 'firefox';
  /** opens the backend in this process instead of a page */
  open?: () => Promise<Backend>;
}

/** A browser is imported by those who need one. */
export async function openPage({ expected, browser, backend }: VerifyOptions): Promise<Probe> {
  const { openFirefoxProbe, openProbe } = await import('../probe');
  const mounts = { '/expected': expected };
  return browser === 'firefox' ? openFirefoxProbe({ mounts }) : openProbe({ webgpu: backend === 'webgpu' }, { mounts });
}
