/**
 * Around the browser tests: installs what they need, skips what cannot run here, and says at the very end what was
 * skipped and why.
 */
import type { TestProject, Vitest } from 'vitest/node';
import { absent, cure, install, PARTS, type PartName } from './system';

/** The fewest tests of a whole run: fewer means that some were lost. */
const FEWEST = { withChromium: 1600, without: 700 };

/** Which tests were asked for. */
interface Scope {
  /** every file of the projects asked for: a run of a few files installs nothing */
  files: boolean;
  /** every test of every project */
  whole: boolean;
}

export default async function setup(project: TestProject): Promise<(() => void) | undefined> {
  const { vitest } = project;
  const every = await vitest.globTestSpecifications();
  const asked = new Set(vitest.state.getPaths());
  // this runs for each project with files to run; one of them prints the summary
  const first = every.find(
    (one) => asked.has(one.moduleId) && String(one.project.config.globalSetup) === String(project.config.globalSetup),
  )?.project;
  const scope = scopeOf(vitest, asked.size === every.length);
  if (scope.files) install(); // a second call finds everything, or does not try again
  const missing = absent();
  for (const tag of project.config.tags) tag.skip = missing.includes(tag.name as PartName);
  return project === first ? () => summary(vitest, missing, scope) : undefined;
}

function scopeOf({ config: { testNamePattern, tagsFilter, shard, project } }: Vitest, files: boolean): Scope {
  return { files, whole: files && !testNamePattern && !tagsFilter?.length && !shard && !project.length };
}

function summary(vitest: Vitest, missing: PartName[], { whole }: Scope): void {
  const tests = vitest.state.getTestModules().flatMap((module) => [...module.children.allTests()]);
  const skipped = tests.filter((test) => test.result().state === 'skipped');
  const executed = tests.length - skipped.length;
  const lines = [`\nTests executed: ${executed}; skipped: ${skipped.length}.`];
  for (const name of missing) {
    const count = skipped.filter(({ tags }) => tags.includes(name)).length;
    if (count)
      lines.push(
        `Absent: ${PARTS[name].name}. Tests skipped for it: ${count} (${PARTS[name].use}). To run them: ${cure(PARTS[name])}.`,
      );
  }
  if (whole) {
    const others = skipped.filter(({ tags }) => !tags.some((tag) => missing.includes(tag as PartName)));
    if (others.length)
      lines.push(
        'Skipped for another reason:',
        ...others.map(({ module, fullName }) => `  ${module.relativeModuleId}: ${fullName}`),
      );
    const [fewest, browser] = missing.includes('chromium')
      ? [FEWEST.without, 'without']
      : [FEWEST.withChromium, 'with'];
    if (executed < fewest) {
      lines.push(
        `FAILED: too few tests were executed (${executed}). A whole run ${browser} Chromium executes at least ${fewest}. Look above for files that did not load and tests that did not run.`,
      );
      process.exitCode = 1;
    }
  }
  vitest.logger.log(lines.join('\n'));
}
