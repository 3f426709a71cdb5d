/** Around the browser tests: installs what they need, skips what cannot run here, and says at the very end what was skipped and why. */
import type { TestCase, TestProject } from 'vitest/node';
import { absent, cure, install, PARTS, type PartName } from './system';

/** The fewest tests of a whole run: fewer means that some were lost. */
const FEWEST = { withChromium: 1600, without: 700 };

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  install();
  const missing = absent();
  for (const tag of project.config.tags) if (missing.includes(tag.name as PartName)) tag.skip = true;
  return () => summary(project, missing);
}

async function summary({ vitest }: TestProject, missing: PartName[]): Promise<void> {
  const modules = vitest.state.getTestModules();
  const tests = modules.flatMap((module) => [...module.children.allTests()]);
  const skipped = tests.filter((test) => test.result().state === 'skipped');
  const executed = tests.length - skipped.length;
  const lines = [`\n${executed} tests were executed, ${skipped.length} were skipped.`];
  for (const name of missing) {
    const count = skipped.filter(({ tags }) => tags.includes(name)).length;
    if (count) lines.push(`Absent: ${PARTS[name].name}. ${count} tests were skipped for it (${PARTS[name].use}). To run them: ${cure(PARTS[name])}.`);
  }
  const others = skipped.filter(({ tags }) => !tags.some((tag) => missing.includes(tag as PartName)));
  if (others.length && (await isWhole(vitest, modules.length))) lines.push('Skipped for another reason:', ...others.map(title));

  const fewest = missing.includes('chromium') ? FEWEST.without : FEWEST.withChromium;
  if (executed < fewest && (await isWhole(vitest, modules.length))) {
    lines.push(`FAILED: ${executed} tests were executed, a whole run ${missing.includes('chromium') ? 'without' : 'with'} Chromium has at least ${fewest}. Look above for tests that were not found or not run.`);
    process.exitCode = 1;
  }
  vitest.logger.log(lines.join('\n'));
}

const title = ({ module, fullName }: TestCase): string => `  ${module.relativeModuleId}: ${fullName}`;

/** Was every test of every project asked for? */
async function isWhole(vitest: TestProject['vitest'], modules: number): Promise<boolean> {
  const { testNamePattern, tagsFilter, shard } = vitest.config;
  return !testNamePattern && !tagsFilter?.length && !shard && (await vitest.globTestSpecifications()).length === modules;
}
