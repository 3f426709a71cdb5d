/** How far the loading of a model is, above the conversation. */
import type { Progress } from '../../../src/index';
import { find } from '../dom';
import { sentence } from '../explain';
import { bytes, count, duration } from '../format';

const PHASES: Record<Progress['phase'], string> = {
  resolve: 'Finding',
  download: 'Downloading',
  read: 'Reading',
  load: 'Loading',
  compile: 'Preparing',
  replay: 'Reading the conversation again with',
  ready: 'Ready:',
};

export function createProgress(announce: (text: string) => void): (name: string, progress: Progress) => void {
  /** the announced reason for loading the model again */
  let announcedCause: string | undefined;

  return (name, { phase, bytes: done, total, rate, eta, cause, copies }) => {
    const waits = phase === 'resolve' || phase === 'download';
    // the wait is shown below, as it changes every few seconds
    if (cause !== announcedCause && cause !== undefined && !waits)
      announce(`Loading ${name} again. ${sentence(cause)}`);
    if (!waits) announcedCause = phase === 'ready' ? undefined : cause;
    find('loading-what', HTMLElement).textContent = `${PHASES[phase]} ${name}`;
    const bar = find('loading-bar', HTMLProgressElement);
    if (total > 0) {
      bar.max = total;
      bar.value = done;
    } else bar.removeAttribute('value');
    find('loading-figures', HTMLElement).textContent = [
      total > 0
        ? phase === 'replay'
          ? `${count(done)} of ${count(total)} tokens`
          : `${bytes(done)} of ${bytes(total)}`
        : '',
      rate > 0 && phase !== 'replay' ? `${bytes(rate)}/s` : '',
      eta !== undefined && eta >= 1 ? `${duration(Math.round(eta))} left` : '',
      waits && cause ? sentence(cause) : '',
      copies ? `another tab has it, too: this copy takes ${bytes(copies.memory)} of memory` : '',
    ]
      .filter(Boolean)
      .join(' · ');
  };
}
