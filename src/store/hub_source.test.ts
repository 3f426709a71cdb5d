import { expect, it } from 'vitest';
import { parseHubId } from './hub_source';

const MIRROR = 'https://mirror.example';

it.each<[string, string, string, string?]>([
  ['Org/Repo', 'Org/Repo', 'main'],
  ['Org/Repo:Q4_0', 'Org/Repo', 'main', 'Q4_0'],
  ['Org/Repo:UD-Q4_K_XL@v2', 'Org/Repo', 'v2', 'UD-Q4_K_XL'],
  ['Org/Repo@v2:Q4_0', 'Org/Repo', 'v2', 'Q4_0'],
  ['Org/Repo/sub/file.gguf', 'Org/Repo', 'main', 'sub/file.gguf'],
  ['Org/Repo.gguf:Q4_0', 'Org/Repo.gguf', 'main', 'Q4_0'],
  ['Org/Repo:Q4_0@refs/pr/3', 'Org/Repo', 'refs/pr/3', 'Q4_0'],
  ['Org/Repo@refs%2Fpr%2F3', 'Org/Repo', 'refs/pr/3'],
  ['Org/Repo@feature/x', 'Org/Repo', 'feature/x'],
  ['hf.co/Org/Repo:Q4_0', 'Org/Repo', 'main', 'Q4_0'],
  ['huggingface.co/Org/Repo', 'Org/Repo', 'main'],
  ['huggingface.co/Org/Repo/blob/main/file.gguf', 'Org/Repo', 'main', 'file.gguf'],
  ['https://huggingface.co/Org/Repo/', 'Org/Repo', 'main'],
  ['https://hf.co/Org/Repo?library=gguf', 'Org/Repo', 'main'],
  ['https://huggingface.co/Org/Repo/blob/refs%2Fpr%2F3/a%20b.gguf', 'Org/Repo', 'refs/pr/3', 'a b.gguf'],
  ['https://huggingface.co/Org/Repo/resolve/refs/pr/3/file.gguf?download=true', 'Org/Repo', 'refs/pr/3', 'file.gguf'],
  ['https://huggingface.co/Org/Repo/raw/main/sub/file.gguf#L1', 'Org/Repo', 'main', 'sub/file.gguf'],
  ['https://huggingface.co/Org/Repo/tree/feature%2Fx', 'Org/Repo', 'feature/x'],
  ['https://huggingface.co/Org/Repo/resolve/main/100%.gguf', 'Org/Repo', 'main', '100%.gguf'],
])('%s', (text, repo, revision, selector) =>
  expect(parseHubId(text)).toEqual({ repo, revision, ...(selector && { selector }) }),
);

it.each([
  'file.gguf',
  'models/file.gguf',
  'models/file.safetensors',
  'models/lfm2/file.gguf',
  'assets/ai/models/file.GGUF',
  './models/file.gguf',
  'models/lfm2/',
  'Org',
  'Org/Repo/../x',
  'https://huggingface.co/Org/Repo/discussions/3',
  'https://huggingface.co/docs',
  'https://example.com/Org/Repo',
])('%s is no id of a hub', (text) => expect(parseHubId(text)).toBeUndefined());

it('knows the addresses of another hub, and leaves those of the default one to the network', () => {
  expect(parseHubId(`${MIRROR}/Org/Repo/resolve/main/file.gguf`, MIRROR)).toEqual({
    repo: 'Org/Repo',
    revision: 'main',
    selector: 'file.gguf',
  });
  expect(parseHubId('hf.co/Org/Repo', MIRROR)).toEqual({ repo: 'Org/Repo', revision: 'main' });
  expect(parseHubId('https://huggingface.co/Org/Repo/resolve/main/file.gguf', MIRROR)).toBeUndefined();
  expect(parseHubId(`${MIRROR}/plain/Org/Repo/file.gguf`, MIRROR)).toBeUndefined();
});
