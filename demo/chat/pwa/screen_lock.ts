/** Keeps the screen on while a model is loaded or an answer is written: a locked phone stops its pages. */

/** Does nothing where the browser has no such lock. */
export function createScreenLock(): { set(active: boolean): void } {
  let wanted = false;
  let lock: WakeLockSentinel | undefined;
  let asking = false;
  async function update(): Promise<void> {
    if (asking) return;
    asking = true;
    try {
      // released by the browser when the page is hidden
      if (lock?.released) lock = undefined;
      if (wanted && !lock && !document.hidden) lock = await navigator.wakeLock?.request('screen');
      if (!wanted && lock) {
        const held = lock;
        lock = undefined;
        await held.release();
      }
    } catch {
      // a low battery refuses it
    } finally {
      asking = false;
    }
    if (!wanted && lock) void update();
  }
  document.addEventListener('visibilitychange', () => void update());
  return {
    set(active) {
      if (active === wanted) return;
      wanted = active;
      void update();
    },
  };
}
