/**
 * What the page says of a model: how far its download is, whether it fits and how fast it is, what an estimate has
 * found.
 */
import type { LoadEstimate } from '../../../src/index';
import { bytes, duration, speedInWords } from '../format';
import type { Offer } from './catalogue';
import type { Download } from './downloads';
import { fitOf, speedOf, type Device } from './recommend';

const far = ({ done, total }: Pick<Download, 'done' | 'total'>): string =>
  total > 0 ? `${bytes(done)} of ${bytes(total)}` : bytes(done);

export function describeDownload(download: Download): string {
  const { state, total, rate, eta, problem } = download;
  if (state === 'running') {
    if (total === 0) return 'Starting…';
    return [
      far(download),
      rate > 0 ? `${bytes(rate)}/s` : '',
      eta !== undefined && eta >= 1 ? `${duration(Math.round(eta))} left` : '',
    ]
      .filter(Boolean)
      .join(' · ');
  }
  if (state === 'paused') return `Paused at ${far(download)}. It goes on from there.`;
  if (state === 'waiting')
    return `There is no network. ${far(download)} are kept, and the download goes on when the network is back.`;
  if (state === 'failed')
    return `${problem?.text ?? 'The download has failed.'}${download.done > 0 ? ` ${far(download)} are kept.` : ''}`;
  return 'It is stored on this device.';
}

export function describeFit(offer: Pick<Offer, 'megabytes' | 'activeMegabytes'>, device: Device): string {
  const fit = fitOf(offer, device);
  if (fit === 'too large') return 'Needs more memory than a page has on this device.';
  const fast = `About ${speedInWords(speedOf(offer, device))}`;
  return `${fit === 'tight' ? 'Just fits' : 'Fits'} on this device. ${fast}${device.throughput === undefined ? ', estimated' : ''}.`;
}

/** An estimate as a sentence. */
export function describeEstimate({
  fits,
  obstacles,
  download,
  free,
  memory,
  tokensPerSecond,
  backend,
}: LoadEstimate): string {
  const needs = [
    download > 0
      ? `${bytes(download)} to download${free === undefined ? '' : ` (${bytes(free)} free)`}`
      : 'nothing to download',
    `up to ${bytes(memory.total)} of memory`,
    `about ${speedInWords(tokensPerSecond)} on the ${backend.name === 'webgpu' ? 'GPU' : 'CPU'}`,
  ].join(', ');
  return fits
    ? `Fits on this device: ${needs}.`
    : `Does not fit on this device. ${obstacles.join(' ')} It needs ${needs}.`;
}
