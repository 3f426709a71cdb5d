/**
 * The element's one policy for pages that enforce Trusted Types (`require-trusted-types-for 'script'`). docs/element.md
 * names it.
 */
import type { Config } from 'dompurify';

type Policy = NonNullable<Config['TRUSTED_TYPES_POLICY']>;

const NAME = 'rivulet-element';

/** undefined: not asked for yet; null: the browser has none, or the page does not allow it */
let policy: Policy | null | undefined;

function createPolicy(): Policy | null {
  const { trustedTypes } = globalThis as { trustedTypes?: { createPolicy(name: string, rules: object): Policy } };
  try {
    // only for strings of the element's own: the address of its engine, and Markdown, which DOMPurify parses where
    // nothing runs
    return (
      trustedTypes?.createPolicy(NAME, { createHTML: (html: string) => html, createScriptURL: (url: string) => url }) ??
      null
    );
  } catch {
    return null;
  }
}

export const trustedPolicy = (): Policy | null => (policy === undefined ? (policy = createPolicy()) : policy);

let parses: boolean | undefined;

/** Whether HTML may be parsed: a page may enforce Trusted Types and not allow the policy. */
export function mayParseHtml(): boolean {
  return (parses ??= trustedPolicy() !== null || tryToParse());
}

function tryToParse(): boolean {
  try {
    return new DOMParser().parseFromString('<br>', 'text/html').querySelector('br') !== null;
  } catch {
    return false;
  }
}
