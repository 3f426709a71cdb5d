/** Placeholders for private texts, for as long as the router lives: the same text always has the same one. */
export interface Vault {
  /** '[EMAIL_1]' */
  placeholder(kind: string, value: string): string;
  /** Puts texts back, cut anywhere. @param json what is put back is escaped for a JSON text */
  restorer(json: boolean): { push(text: string): string; flush(): string };
  /** Characters at the end of a text with which a known text may begin that is not complete. */
  partialTail(text: string): number;
}

/** A shorter beginning tells nothing. */
const LEAST_PART = 3;

export function createVault(): Vault {
  const placeholders = new Map<string, string>();
  const values = new Map<string, string>();
  const counts = new Map<string, number>();
  let longest = 0;
  return {
    placeholder(kind, value) {
      const known = placeholders.get(value);
      if (known) return known;
      const name = kind.toUpperCase().replace(/[^A-Z]/g, '') || 'TEXT';
      const n = (counts.get(name) ?? 0) + 1;
      counts.set(name, n);
      const made = `[${name}_${n}]`;
      placeholders.set(value, made);
      values.set(made, value);
      longest = Math.max(longest, made.length);
      return made;
    },
    restorer(json) {
      let held = '';
      const back = (text: string): string =>
        text.replace(/\[[A-Z]+_\d+\]/g, (found) => {
          const value = values.get(found);
          return value === undefined ? found : json ? JSON.stringify(value).slice(1, -1) : value;
        });
      return {
        push(text) {
          held += text;
          const open = held.lastIndexOf('[');
          // only what can still become a placeholder waits
          const waits = open >= 0 && held.length - open < longest && isBeginning(held.slice(open), values);
          const ready = waits ? held.slice(0, open) : held;
          held = waits ? held.slice(open) : '';
          return back(ready);
        },
        flush() {
          const rest = back(held);
          held = '';
          return rest;
        },
      };
    },
    partialTail(text) {
      let most = 0;
      for (const value of placeholders.keys())
        for (let n = Math.min(value.length - 1, text.length); n >= LEAST_PART && n > most; n--)
          if (text.endsWith(value.slice(0, n))) most = n;
      return most;
    },
  };
}

function isBeginning(text: string, values: ReadonlyMap<string, string>): boolean {
  for (const placeholder of values.keys()) if (placeholder.startsWith(text)) return true;
  return false;
}
