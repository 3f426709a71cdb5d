/** What a program does in a decode step, as a text for people. For tools: no file of the library holds it. */
import type { Program } from './backend';
import { activationInputs, macsOf, type Plan } from './plan';
import type { WasmProgram } from './wasm/program';
import type { Dispatch } from './webgpu/dispatch';
import { lowerPlanToDispatches, shortestTunedSpan } from './webgpu/lower';
import type { WebGpuProgram } from './webgpu/program';
import { noBuffer, unallocatedBuffers } from './webgpu/state_buffers';

/** The number of dispatches or ops of a decode step, then one line for each. */
export function describeProgram(program: Program): string {
  const internals = program.internals!();
  if ('scratch' in internals) return describeDispatches((program as WebGpuProgram).internals());
  return 'times' in internals ? describeOps(program as WasmProgram) : formatPlan(internals.plan);
}

/** One line per node. */
const formatPlan = (plan: Plan): string =>
  plan.nodes
    .map(
      (node) =>
        `${node.op.padEnd(9)} ${activationInputs(node)
          .map((x) => `#${x.slot}`)
          .join(' ')
          .padEnd(6)} → #${node.out.slot} [${node.out.rows}, ${node.out.cols}] ${node.out.name}`,
    )
    .join('\n');

function describeDispatches({
  opened,
  plan,
  scratch,
  sampler,
  skipped,
  contextLength,
}: ReturnType<WebGpuProgram['internals']>): string {
  const buffers = { ...unallocatedBuffers(plan, contextLength, scratch.f16Cache), ...scratch };
  const line = ({ label, grid, sources }: Dispatch, node: string): string =>
    `${node.padEnd(10)} ${label.padEnd(32)} ${grid.join('×').padEnd(12)} ${sources.at(-1)}`;
  const list = (context: number): string[] => [
    ...lowerPlanToDispatches(opened, plan, buffers, 1, context).flatMap((dispatches, i) =>
      i < skipped ? [] : dispatches.map((s) => line(s, plan.nodes[i].op)),
    ),
    ...(sampler?.dispatches(noBuffer(), noBuffer()).greedy ?? []).map((s) => line(s, 'sample')),
  ];
  const span = shortestTunedSpan(opened, plan, scratch.f16Cache);
  const short = list(span);
  const long = contextLength > span ? `, ${list(contextLength).length} from position ${span} on` : '';
  return [`${short.length} dispatches a token${long}`, ...short].join('\n');
}

/**
 * The time of each kind of op since the model was loaded, then the plan with the milliseconds of each op per decoded
 * token.
 */
function describeOps({ threads, internals }: WasmProgram): string {
  const { plan, context: { weightBytes }, times, tokensRead: tokens } = internals(); // prettier-ignore
  const n = plan.nodes.length;
  const nameOf = (i: number): string =>
    i === n ? 'sample' : plan.nodes[i].out === plan.outputs[0] ? 'head' : plan.nodes[i].op;
  const kinds = [...new Set(Array.from({ length: n + 1 }, (_, i) => nameOf(i)))];
  const table = (title: string, offset: number, count: number): string[] => {
    if (!count) return [];
    const sum = (from: (i: number) => number, kind?: string): number =>
      Array.from({ length: n + 1 }, (_, i) => (kind === undefined || nameOf(i) === kind ? from(i) : 0)).reduce(
        (a, b) => a + b,
      );
    const ms = (i: number): number => times[offset + i] / count;
    const rate = (kind?: string): string => {
      const time = sum(ms, kind);
      const macs = sum((i) => (i < n ? macsOf(plan.nodes[i]) : 0), kind) / time / 1e6;
      const bytes = sum((i) => (i < n ? weightBytes(plan.nodes[i]) : 0), kind) / time / 1e6;
      return `${time.toFixed(3).padStart(8)} ms${macs > 0 ? `${macs.toFixed(1).padStart(7)} GMAC/s` : ''}${bytes > 0 && offset === 0 ? `${bytes.toFixed(1).padStart(7)} GB/s` : ''}`;
    };
    return [`${title.padEnd(14)}${rate()}`, ...kinds.map((kind) => `  ${kind.padEnd(12)}${rate(kind)}`)];
  };
  const lines = formatPlan(plan).split('\n');
  return [
    `${n} ops on ${threads} thread${threads > 1 ? 's' : ''}`,
    ...table('decoded token', 0, tokens[0]),
    ...table('prompt token', n + 1, tokens[1]),
    ...lines.map((line, i) => `${tokens[0] ? `${(times[i] / tokens[0]).toFixed(3).padStart(7)} ms  ` : ''}${line}`),
  ].join('\n');
}
