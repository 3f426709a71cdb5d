/** Shows how far a set is. */
import { announce, find } from '../chat/dom';
import type { SetProgress } from './run_set';
import { roughly } from './time_left';

interface Shown {
  /** '1 of 3' */
  count?: string;
  step: string;
  /** 0 to 1; without it the bar moves and shows no share */
  share?: number;
  left?: string;
}

function show({ count = '', step, share, left = '' }: Shown): void {
  find('progress-count', HTMLElement).textContent = count;
  find('progress-step', HTMLElement).textContent = step;
  find('progress-left', HTMLElement).textContent = left;
  const bar = find('progress-bar', HTMLProgressElement);
  if (share === undefined) bar.removeAttribute('value');
  else bar.value = share;
}

/** A step before the first run. */
export const showPreparation = (step: string): void => show({ step });

export function showProgress({ run, runs, planned, step, share, secondsLeft, waiting }: SetProgress): void {
  const what = [planned.name, planned.quantization, planned.backend === 'webgpu' ? 'GPU' : 'CPU'].filter(Boolean);
  const count = `${run + 1} of ${runs}`;
  if (find('progress-count', HTMLElement).textContent !== count) announce(`${count}: ${what.join(' ')}`);
  if (waiting)
    return show({
      count,
      step: 'This tab is hidden. Browsers slow hidden tabs down, so the benchmark waits until it is in front.',
      share,
      left: 'waiting',
    });
  // an empty bar looks as if nothing happened while the first model is checked and loaded
  show({
    count,
    step: [...what, step].join(' · '),
    share: share || undefined,
    left: `about ${roughly(secondsLeft)} left`,
  });
}
