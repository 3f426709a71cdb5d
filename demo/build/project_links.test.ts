import { expect, test } from 'vitest';
import { sourceOf, withProjectLinks } from './project_links';

const version = '1.2.3';

test.each([
  ['git+https://host.example/a/b.git', 'https://host.example/a/b'],
  ['https://host.example/a/b', 'https://host.example/a/b'],
  ['github:a/b', 'https://github.com/a/b'],
  ['a/b', 'https://github.com/a/b'],
  ['ssh://git@host.example/a/b', undefined],
  ['javascript:alert(1)', undefined],
  [undefined, undefined],
])('%s', (repository, wanted) => {
  expect(sourceOf({ version, repository })).toBe(wanted);
  expect(sourceOf({ version, repository: { url: repository } })).toBe(wanted);
});

test('the pages get the version, and a link where there is a repository', () => {
  const page = '<p>%VERSION%</p><!-- source --><!-- source, in a line -->';
  expect(withProjectLinks(page, { version })).toBe('<p>1.2.3</p>');
  const link = '<a href="https://github.com/a/b" target="_blank" rel="noopener noreferrer">Source code</a>';
  expect(withProjectLinks(page, { version, repository: 'a/b' })).toBe(`<p>1.2.3</p><p>${link}</p>${link}`);
});
