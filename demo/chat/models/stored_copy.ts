/**
 * Whether a stored model is the one that a source names. The library gives a model of a hub the id
 * 'Org/Repo/file.gguf', with the host before it where the hub is not Hugging Face; the id of a model from a URL is the
 * URL.
 */
export function isStoredCopy(id: string, source: string): boolean {
  if (id === source) return true;
  if (/^(https?|blob):/.test(id)) return false;
  if (/^[\w.-]+\/[\w.-]+\/.*\.gguf(@|$)/i.test(source) && id.endsWith(`/${source}`)) return true;
  const [, repo, quant] = /^([\w.-]+\/[\w.-]+):([\w.-]+)$/.exec(source) ?? [];
  if (!repo) return false;
  const at = id.indexOf(`${repo}/`);
  if (at < 0 || (at > 0 && id[at - 1] !== '/')) return false;
  const file = id.slice(at + repo.length + 1).toLowerCase();
  return [`-${quant}.gguf`, `.${quant}.gguf`].some((end) => file.endsWith(end.toLowerCase()));
}
