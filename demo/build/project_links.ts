/**
 * Puts the version of the project and a link to its source into the pages, both from package.json. Without a repository
 * there is no link.
 */
import { readFileSync } from 'node:fs';
import type { Plugin } from 'vite';

interface Project {
  version: string;
  repository?: string | { url?: string };
}

/** The address of a repository for a browser: 'git+https://host/a/b.git' and 'github:a/b' too. */
export function sourceOf({ repository }: Project): string | undefined {
  const given = (typeof repository === 'object' ? repository.url : repository)
    ?.replace(/^git\+/, '')
    .replace(/\.git$/, '');
  const short = /^(?:github:)?([\w.-]+\/[\w.-]+)$/.exec(given ?? '')?.[1];
  return short ? `https://github.com/${short}` : given?.startsWith('https://') ? given : undefined;
}

export function withProjectLinks(html: string, project: Project): string {
  const source = sourceOf(project);
  const link = source
    ? `<a href="${source.replaceAll('"', '%22')}" target="_blank" rel="noopener noreferrer">Source code</a>`
    : '';
  return html
    .replaceAll('%VERSION%', project.version)
    .replace('<!-- source -->', link && `<p>${link}</p>`)
    .replace('<!-- source, in a line -->', link);
}

export function projectLinks(): Plugin {
  const project = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as Project;
  return {
    name: 'rivulet-project-links',
    transformIndexHtml: { order: 'pre', handler: (html) => withProjectLinks(html, project) },
  };
}
