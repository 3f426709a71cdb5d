/** A lock: who asked first gets it first. */
export class Turns {
  private taken = false;
  private readonly waiting: (() => void)[] = [];

  /** Somebody waits. */
  get wanted(): boolean {
    return this.waiting.length > 0;
  }

  /** Resolves to true when it is the caller's turn, and to false at an abort before that. */
  take(signal?: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve(false);
      const begin = (): void => {
        signal?.removeEventListener('abort', leave);
        resolve(true);
      };
      const leave = (): void => {
        this.waiting.splice(this.waiting.indexOf(begin), 1);
        resolve(false);
      };
      if (!this.taken) {
        this.taken = true;
        return resolve(true);
      }
      signal?.addEventListener('abort', leave, { once: true });
      this.waiting.push(begin);
    });
  }

  /** Ends the caller's turn. */
  release(): void {
    const next = this.waiting.shift();
    if (next) next();
    else this.taken = false;
  }
}
