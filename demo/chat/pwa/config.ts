/** config.json beside the page: what the host of this copy of the site has set. `npm run pack:offline` writes it. */

export interface SiteConfig {
  /** the model to start with: an address relative to the page, or a hub id */
  model?: string;
}

/** Values that are not valid are left out. */
export function readConfig(given: unknown): SiteConfig {
  const { model } = (typeof given === 'object' && given !== null ? given : {}) as Record<string, unknown>;
  return typeof model === 'string' && model.trim() ? { model: model.trim() } : {};
}

/** The model as `load` takes it: a path is an address below the page. */
export const modelSource = (model: string, page: string): string =>
  /\.gguf$/i.test(model) && !/^https?:/.test(model) ? new URL(model, page).href : model;

/** Empty without the file: the page then starts with its own model. */
export async function siteConfig(): Promise<SiteConfig> {
  try {
    const response = await fetch(new URL('config.json', document.baseURI));
    const config = response.ok ? readConfig(await response.json()) : {};
    return config.model ? { model: modelSource(config.model, document.baseURI) } : {};
  } catch {
    return {};
  }
}
