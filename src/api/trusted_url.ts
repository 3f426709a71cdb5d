/** URLs of scripts, in pages that enforce Trusted Types (`require-trusted-types-for 'script'`). */

interface Policy {
  createScriptURL(url: string): string;
}

const { trustedTypes } = globalThis as {
  trustedTypes?: { defaultPolicy?: unknown; createPolicy(name: string, rules: Policy): Policy };
};
let policy: Policy | undefined;

/**
 * A URL of the library's own scripts, by its policy `rivulet`; unchanged where the page has a default policy or does
 * not allow this one.
 */
export function trustedUrl(url: string): string {
  try {
    if (!trustedTypes?.defaultPolicy)
      policy ??= trustedTypes?.createPolicy('rivulet', { createScriptURL: (own) => own });
  } catch {} // the browser then refuses the URL, and the caller says why
  return policy?.createScriptURL(url) ?? url;
}
