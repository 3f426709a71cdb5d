/** The experts that a model on the WASM backend chooses: recorded, and forced in another run. */
import type { Plan, PlanActivation } from '../src/backend/plan';
import type { State } from '../src/backend/backend';
import type { Interpreter } from '../src/backend/wasm/interpreter';

/** For each call of the state and each layer with experts, their numbers [T, top]. */
export type ExpertChoices = number[][][];

const selections = (plan: Plan) =>
  plan.nodes.flatMap((node, index) => (node.op === 'selectExperts' ? [{ node, index }] : []));

/** The weights of experts, of their scores: what the op computes, for experts that something else chose. */
function weightsOf(scores: Float32Array, experts: number[], normalise: boolean | undefined, scale: number): number[] {
  const p = experts.map((e) => 1 / (1 + Math.exp(-scores[e])));
  const sum = normalise ? p.reduce((a, b) => a + b, 1e-6) : 1;
  return p.map((v) => (v / sum) * scale);
}

/**
 * Runs `work`, while each step of the state reports the experts that it chose.
 * @param forced what it takes in place of these, with weights of its own scores
 */
export async function withExpertChoices<T>(
  state: State,
  work: () => Promise<T>,
  forced?: ExpertChoices,
): Promise<{ result: T; choices: ExpertChoices }> {
  const shared = state.program.internals!() as Interpreter;
  const choices: ExpertChoices = [];
  const run = shared.run.bind(shared);
  shared.run = (tokens, position, draws, prompt) => {
    const call = choices.push([]) - 1;
    const rows = (x: PlanActivation): Float32Array => shared.rowsOf(x, x.rows === 1 ? 1 : tokens);
    const visit = ({ node: { scores, top, normalise, scale, out } }: ReturnType<typeof selections>[number]): void => {
      const chosen = rows(out);
      const layer = choices[call].push([]) - 1;
      for (let t = 0; t * 2 * top < chosen.length; t++) {
        const at = t * 2 * top;
        choices[call][layer].push(...chosen.subarray(at, at + top));
        const wanted = forced?.[call][layer].slice(t * top, (t + 1) * top);
        if (!wanted) continue;
        const own = rows(scores).subarray(t * scores.cols, (t + 1) * scores.cols);
        chosen.set([...wanted, ...weightsOf(own, wanted, normalise, scale)], at);
      }
    };
    const after = new Map(selections(shared.plan).map((one) => [one.index, () => visit(one)]));
    return run(tokens, position, draws, prompt, { after });
  };
  try {
    return { result: await work(), choices };
  } finally {
    shared.run = run;
  }
}

/** The share of choices that are not among the other's, of the same calls and layers. */
export function shareOfOthers(a: ExpertChoices, b: ExpertChoices, top: number): number {
  let [all, others] = [0, 0];
  a.forEach((layers, call) =>
    layers.forEach((experts, layer) =>
      experts.forEach((e, i) => {
        const first = i - (i % top);
        all++;
        if (!b[call][layer].slice(first, first + top).includes(e)) others++;
      }),
    ),
  );
  return others / all;
}
