/**
 * The support report: what this page, browser and device are and what went wrong, as JSON. It holds no message of a
 * conversation.
 */
import type { CachedModel, Model } from '../../src/index';
import type { SeenError } from './explain';
import type { ReplyFigures } from './models/reply_meter';

export interface ReportParts {
  version: string;
  now: Date;
  page: { address: string; secure: boolean; isolated: boolean; installed: boolean; serviceWorker: boolean };
  browser: { userAgent: string; data?: unknown; online: boolean };
  device: { memory?: number; cores: number; saveData: boolean; screen: string };
  gpu?: unknown;
  model?: Model['info'];
  settings: { backend: string; contextLength?: number; threads?: number };
  replies: ReplyFigures[];
  storage: {
    quota?: number;
    usage?: number;
    persisted?: boolean;
    models: Pick<CachedModel, 'id' | 'bytes' | 'storedBytes' | 'complete' | 'pinned'>[];
    problem?: string;
  };
  errors: SeenError[];
}

const rounded = (value: number): number => Number(value.toPrecision(4));

/** An address without what a person may have put into it: only the options of this page stay. */
export function publicAddress(address: string): string {
  const url = new URL(address);
  const options = ['backend', 'software', 'threads', 'context', 'model', 'hub'].flatMap((name) =>
    url.searchParams.has(name) ? [`${name}=${url.searchParams.get(name)}`] : [],
  );
  return `${url.origin}${url.pathname}${options.length ? `?${options.join('&')}` : ''}`;
}

/** The report as an object with a fixed order of its fields. */
export function supportReport({
  version,
  now,
  page,
  browser,
  device,
  gpu,
  model,
  settings,
  replies,
  storage,
  errors,
}: ReportParts): object {
  return {
    report: 'Rivulet support report',
    version,
    time: now.toISOString(),
    page: { ...page, address: publicAddress(page.address) },
    browser,
    device,
    gpu: gpu ?? 'no WebGPU',
    model: model
      ? {
          id: model.id,
          quantization: model.quantization,
          bytes: model.bytes,
          contextLength: model.contextLength,
          memory: model.memory,
          loadMs: Math.round(model.loadMs),
          fromStorage: model.cached,
          backend: model.backend,
          notes: model.notes,
        }
      : 'no model is loaded',
    settings,
    replies: replies.map((reply) =>
      Object.fromEntries(
        Object.entries(reply).map(([name, value]) => [name, typeof value === 'number' ? rounded(value) : value]),
      ),
    ),
    storage,
    errors,
  };
}

export const reportText = (parts: ReportParts): string => JSON.stringify(supportReport(parts), undefined, 2);
