/** Automata over code points. Only states from which a word of the language can still be completed are entered. */
import { Unsupported } from './formula';
import { memo } from './memo';
import { ANY, pairsOf, type Ranges } from './ranges';
import { setsOf, type Term, type Terms } from './term';

export interface Dfa {
  /** −1: no word at all */
  readonly start: number;
  /** [low, high, target, …], ascending */
  edges(state: number): readonly number[];
  /** what a word that ends here is; −1: none ends here */
  label(state: number): number;
  /** characters to the nearest end of a word */
  distance(state: number): number;
  /** number of words from here; Infinity also for more than a million */
  count(state: number): number;
  /** each state has words of every length from its shortest on */
  readonly flexible: boolean;
  /** the words with these labels */
  only?(keep: (label: number) => boolean): Dfa;
}

/** The first state to which one of these characters leads; −1: none does. */
export function targetIn(dfa: Dfa, state: number, low: number, high = low): number {
  const edges = dfa.edges(state);
  for (let i = 0; i < edges.length && edges[i] <= high; i += 3) if (edges[i + 1] >= low) return edges[i + 2];
  return -1;
}

const tooLarge = (): never => {
  throw new Unsupported('a regular expression whose automaton is too large');
};

const MAX_STATES = 12_000;
const MAX_TERMS = 400_000;
const MANY = 1_000_000;

/** Groups characters that no set tells apart: a representative, and all of them. */
function classesOf(sets: readonly Ranges[]): Ranges[] {
  const cuts = new Set<number>();
  for (const set of [ANY, ...sets])
    for (let i = 0; i < set.length; i += 2) {
      cuts.add(set[i]);
      cuts.add(set[i + 1] + 1);
    }
  const points = [...cuts].sort((a, b) => a - b);
  const at = sets.map(() => 0);
  const groups = new Map<string, number[]>();
  for (let i = 0; i + 1 < points.length; i++) {
    const low = points[i];
    if (low >= 0xd800 && low <= 0xdfff) continue;
    let key = '';
    for (const [j, set] of sets.entries()) {
      while (at[j] < set.length && set[at[j] + 1] < low) at[j] += 2;
      if (at[j] < set.length && set[at[j]] <= low) key += `${j},`;
    }
    const group = memo(groups, key, () => []);
    if (group[group.length - 1] === low - 1) group[group.length - 1] = points[i + 1] - 1;
    else group.push(low, points[i + 1] - 1);
  }
  return [...groups.values()];
}

/**
 * The automaton that reads several terms at once.
 * @param label of a word, given which of the terms it belongs to; −1: no word
 * @throws Unsupported if it is too large
 */
export function buildDfa(
  terms: Terms,
  roots: readonly Term[],
  label: (member: readonly boolean[]) => number = ([member]) => (member ? 0 : -1),
): Dfa {
  const classes = classesOf(setsOf(roots));
  const ids = new Map<string, number>();
  const vectors: (readonly Term[])[] = [];
  const targets: number[][] = [];
  const idOf = (vector: readonly Term[]): number => {
    const key = vector.map(({ id }) => id).join();
    return memo(ids, key, () => (vectors.length < MAX_STATES ? vectors.push(vector) - 1 : tooLarge()));
  };
  const before = terms.made;
  const memos = classes.map(() => new Map<Term, Term>());
  idOf(roots);
  for (let state = 0; state < vectors.length; state++) {
    if (terms.made - before > MAX_TERMS) tooLarge();
    targets.push(
      classes.map((ranges, c) =>
        vectors[state].every((term) => term === terms.NONE)
          ? state
          : idOf(vectors[state].map((term) => terms.derive(term, ranges[0], memos[c]))),
      ),
    );
  }
  const labels = vectors.map((vector) => label(vector.map(({ nullable }) => nullable)));
  const spans = (state: number): Span[] =>
    classes.flatMap((ranges, c) => pairsOf(ranges).map(([low, high]): Span => [low, high, targets[state][c]]));
  return dfaOfSpans(targets, labels, spans);
}

type Span = [low: number, high: number, target: number];

/** @param spans of the characters that lead from a state to others, apart from each other, in any order */
function dfaOfSpans(
  targets: readonly (readonly number[])[],
  labels: readonly number[],
  spans: (state: number) => Span[],
): Dfa {
  const total = targets.length;
  const from: number[][] = Array.from({ length: total }, () => []);
  for (let s = 0; s < total; s++) for (const t of new Set(targets[s])) from[t].push(s);
  // breadth first, back from the ends of words
  const distances = labels.map(() => Infinity);
  let layer = labels.flatMap((label, s) => (label >= 0 ? [s] : []));
  for (const s of layer) distances[s] = 0;
  for (let d = 1; layer.length; d++) {
    const next: number[] = [];
    for (const t of layer)
      for (const s of from[t])
        if (distances[s] === Infinity) {
          distances[s] = d;
          next.push(s);
        }
    layer = next;
  }
  const live = (s: number): boolean => distances[s] < Infinity;
  const edges: (number[] | undefined)[] = [];
  const counts: (number | undefined)[] = [];

  function edgesOf(state: number): readonly number[] {
    if (edges[state]) return edges[state];
    const list: number[] = (edges[state] = []);
    const found = spans(state).filter(([, , target]) => live(target));
    for (const [low, high, target] of found.sort((a, b) => a[0] - b[0])) {
      if (list.at(-2) === low - 1 && list.at(-1) === target) list[list.length - 2] = high;
      else list.push(low, high, target);
    }
    return list;
  }

  /** Depth first without recursion; a state on the path again means a loop. */
  function count(root: number): number {
    const path: { state: number; at: number; sum: number }[] = [];
    const enter = (state: number): void => {
      counts[state] = -1;
      path.push({ state, at: 0, sum: labels[state] >= 0 ? 1 : 0 });
    };
    if (counts[root] === undefined) enter(root);
    while (path.length) {
      const top = path[path.length - 1];
      const list = edgesOf(top.state);
      if (top.at >= list.length) {
        counts[top.state] = top.sum > MANY ? Infinity : top.sum;
        path.pop();
        continue;
      }
      const target = list[top.at + 2];
      const known = counts[target];
      if (known === undefined) {
        enter(target);
        continue;
      }
      top.sum += known < 0 ? Infinity : known * (list[top.at + 1] - list[top.at] + 1);
      top.at += 3;
    }
    return counts[root]!;
  }

  // a state has a word of one character more than its shortest: longer ones follow by induction
  const longer: boolean[] = [];
  const order = labels.map((_, s) => s).filter(live);
  for (const s of order.sort((a, b) => distances[a] - distances[b]))
    longer[s] = targets[s].some((t) => distances[t] === distances[s] || (distances[t] < distances[s] && longer[t]));
  return {
    start: live(0) ? 0 : -1,
    edges: edgesOf,
    label: (state) => labels[state],
    distance: (state) => distances[state],
    count,
    flexible: order.every((s) => longer[s]),
    only: (keep) =>
      dfaOfSpans(
        targets,
        labels.map((label) => (label >= 0 && keep(label) ? label : -1)),
        spans,
      ),
  };
}

/** The words of a sorted list, by their number in it; a state is a run of the list with one beginning. */
export interface WordsDfa extends Dfa {
  /** the first word with this beginning, and the first behind those with it */
  range(state: number): readonly [number, number];
}

/** @param words sorted by `<`, without repetitions */
export function wordsDfa(words: readonly string[]): WordsDfa {
  const states: { low: number; high: number; depth: number; edges?: number[]; distance?: number }[] = [];
  const add = (low: number, high: number, depth: number): number => states.push({ low, high, depth }) - 1;
  const ends = ({ low, depth }: { low: number; depth: number }): boolean => words[low].length === depth;
  const start = words.length ? add(0, words.length, 0) : -1;
  const dfa: WordsDfa = {
    start,
    flexible: false,
    edges(id) {
      const state = states[id];
      if (!state.edges) {
        const { low, high, depth } = state;
        const found: [number, number][] = [];
        for (let i = ends(state) ? low + 1 : low; i < high;) {
          const point = words[i].codePointAt(depth)!;
          const next = depth + (point > 0xffff ? 2 : 1);
          let end = i + 1;
          while (end < high && words[end].codePointAt(depth) === point) end++;
          found.push([point, add(i, end, next)]);
          i = end;
        }
        state.edges = found.sort((a, b) => a[0] - b[0]).flatMap(([point, target]) => [point, point, target]);
      }
      return state.edges;
    },
    label: (id) => (ends(states[id]) ? states[id].low : -1),
    distance(id) {
      const { low, high, depth } = states[id];
      let least = Infinity;
      for (let i = low; i < high; i++) least = Math.min(least, Array.from(words[i].slice(depth)).length);
      return (states[id].distance ??= least);
    },
    count: (id) => states[id].high - states[id].low,
    range: (id) => [states[id].low, states[id].high],
  };
  return dfa;
}

/** The words of an automaton but for some. */
export function dfaWithout(dfa: Dfa, words: readonly string[]): Dfa {
  const excluded = wordsDfa(words);
  const ids = new Map<string, number>();
  // a state of the automaton, and one of the excluded words; −1: the word is none of them
  const pairs: [state: number, word: number][] = [];
  const idOf = (state: number, word: number): number =>
    memo(ids, `${state} ${word}`, () => pairs.push([state, word]) - 1);
  idOf(dfa.start, excluded.start);
  const spans: Span[][] = [];
  for (const [state, word] of pairs) {
    const edges = dfa.edges(state);
    const points = word < 0 ? [] : excluded.edges(word);
    const own: Span[] = [];
    for (let i = 0; i < edges.length; i += 3) {
      let from = edges[i];
      for (let j = 0; j < points.length; j += 3) {
        const point = points[j];
        if (point < from || point > edges[i + 1]) continue;
        if (from < point) own.push([from, point - 1, idOf(edges[i + 2], -1)]);
        own.push([point, point, idOf(edges[i + 2], points[j + 2])]);
        from = point + 1;
      }
      if (from <= edges[i + 1]) own.push([from, edges[i + 1], idOf(edges[i + 2], -1)]);
    }
    spans.push(own);
  }
  return dfaOfSpans(
    spans.map((own) => own.map(([, , target]) => target)),
    pairs.map(([state, word]) => (word >= 0 && excluded.label(word) >= 0 ? -1 : dfa.label(state))),
    (state) => spans[state],
  );
}
