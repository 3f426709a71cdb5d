/**
 * What disturbs a measurement from outside: a hidden tab, which browsers slow down, and a low battery, at which devices
 * slow down.
 */

interface BatteryManager extends EventTarget {
  level: number;
  charging: boolean;
}

export interface BatteryState {
  percent: number;
  charging: boolean;
}

/** Below this a device that is not charging may save power. */
const LOW_PERCENT = 20;

/** The charge of the device; undefined where the browser does not tell. */
export async function readBattery(): Promise<BatteryState | undefined> {
  const { getBattery } = navigator as { getBattery?(): Promise<BatteryManager> };
  try {
    const battery = await getBattery?.call(navigator);
    return battery && { percent: Math.round(100 * battery.level), charging: battery.charging };
  } catch {
    return undefined; // the page may not ask
  }
}

export const isLow = (battery: BatteryState | undefined): battery is BatteryState =>
  battery !== undefined && !battery.charging && battery.percent < LOW_PERCENT;

/** Notices when the tab was hidden. */
export class TabWatch {
  private hiddenCount = document.hidden ? 1 : 0;
  private readonly listener = (): void => {
    if (document.hidden) this.hiddenCount++;
  };

  constructor() {
    document.addEventListener('visibilitychange', this.listener);
  }

  /** grows each time the tab is hidden */
  get count(): number {
    return this.hiddenCount;
  }

  /** Resolves when the tab is visible. @throws AbortError */
  async visible(signal: AbortSignal, onWait: (waiting: boolean) => void): Promise<void> {
    if (!document.hidden) return;
    onWait(true);
    await new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        if (document.hidden && !signal.aborted) return;
        document.removeEventListener('visibilitychange', settle);
        signal.removeEventListener('abort', settle);
        if (signal.aborted) reject(new DOMException('The benchmark was stopped.', 'AbortError'));
        else resolve();
      };
      document.addEventListener('visibilitychange', settle);
      signal.addEventListener('abort', settle);
    });
    onWait(false);
  }

  end(): void {
    document.removeEventListener('visibilitychange', this.listener);
  }
}
