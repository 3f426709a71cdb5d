import { describe, expect, it } from 'vitest';
import { nextStep, type IsolationState, type Tried } from './isolation';

/** A browser on a host without headers; @returns what each load of the page was, and how many reloads the page made. */
function visit({
  isolates,
  bypassed = () => false,
  framed = false,
}: {
  isolates: ('credentialless' | 'require-corp')[];
  bypassed?: (load: number) => boolean;
  framed?: boolean;
}): { reloads: number; isolated: boolean } {
  let tried: Tried = 'nothing';
  let mode: 'credentialless' | 'require-corp' = 'credentialless';
  for (let load = 0; ; load++) {
    if (load > 10) throw new Error('the page reloads for ever');
    const controlled = load > 0 && !bypassed(load);
    const isolated = controlled && !framed && isolates.includes(mode);
    const step: Tried = nextStep({ isolated, controlled, framed, tried });
    if (step === 'nothing') return { reloads: load, isolated };
    if (step === 'require-corp') mode = 'require-corp';
    tried = step;
  }
}

describe('isolation by the service worker', () => {
  it('takes one reload where credentialless is known', () =>
    expect(visit({ isolates: ['credentialless', 'require-corp'] })).toEqual({ reloads: 1, isolated: true }));
  it('falls back to require-corp with a second one', () =>
    expect(visit({ isolates: ['require-corp'] })).toEqual({ reloads: 2, isolated: true }));
  it('ends where neither isolates', () => expect(visit({ isolates: [] })).toEqual({ reloads: 2, isolated: false }));
  it('ends where no worker ever delivers the page', () =>
    expect(visit({ isolates: ['credentialless'], bypassed: () => true })).toEqual({ reloads: 1, isolated: false }));
  it('ends in a frame', () =>
    expect(visit({ isolates: ['credentialless'], framed: true })).toEqual({ reloads: 0, isolated: false }));

  it.each<[string, Partial<IsolationState>, Tried]>([
    ['an isolated page', { isolated: true }, 'nothing'],
    ['a hard reload after the reload', { controlled: false, tried: 'reload' }, 'nothing'],
    ['a hard reload after both', { controlled: false, tried: 'require-corp' }, 'nothing'],
    ['a worker of an earlier visit whose policy does not isolate', { controlled: true }, 'require-corp'],
  ])('%s', (_, state, step) =>
    expect(nextStep({ isolated: false, controlled: false, framed: false, tried: 'nothing', ...state })).toBe(step),
  );
});
