import { calls } from './store_calls';

export type StoreWindow = Window & { store: typeof calls };
(window as unknown as StoreWindow).store = calls;

/** Calls to make, [name, ...parameters] each, one after the other: their answers are reported (unattended.ts). */
const steps = new URLSearchParams(location.search).get('steps');
if (steps) {
  const answers: unknown[] = [];
  for (const [name, ...parameters] of JSON.parse(steps) as [keyof typeof calls, ...unknown[]][])
    answers.push(await (calls[name] as (...p: unknown[]) => unknown)(...parameters));
  await fetch('/report', { method: 'POST', body: JSON.stringify(answers) });
}
