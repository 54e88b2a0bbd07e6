/** Finds the path template that a path matches, in time that depends on the length of the path. */
import { matchesPattern, type Segment } from "./pathTemplate.ts";

/** Looks up what was added for a template. */
export type Matcher<Value> = {
  /**
   * @returns the values of the templates that match. A text takes precedence over a pattern, and both over a parameter. There are
   * several values if no template has precedence, such as `/orders/{id}/items` and `/orders/search/{query}` for
   * `/orders/search/items`. If more than `maxCompared` templates match, none has precedence
   */
  find(segments: readonly string[]): readonly Value[];
};

type Node<Value> = {
  texts: Map<string, Node<Value>>;
  patterns: { texts: readonly string[]; node: Node<Value> }[];
  parameter?: Node<Value>;
  found?: Found<Value>;
};

/**
 * @property values the value, in the list that `find` returns
 * @property ranks one for each segment: a text has the lowest, a parameter the highest
 */
type Found<Value> = { values: readonly [Value]; ranks: readonly number[] };

/** Templates that match the same path. Each is compared with each other one. */
export const maxCompared = 50;

const emptyNode = <Value>(): Node<Value> => ({ texts: new Map(), patterns: [] });

const ranks = { text: 0, pattern: 1, parameter: 2 };

/** @param entries no two of them have segments that match the same paths */
export function createMatcher<Value>(
  entries: Iterable<{ segments: readonly Segment[]; value: Value }>,
): Matcher<Value> {
  const root = emptyNode<Value>();
  for (const { segments, value } of entries) {
    const last = segments.reduce(childFor, root);
    last.found = { values: [value], ranks: segments.map(({ kind }) => ranks[kind]) };
  }
  return {
    find(segments) {
      const all: Found<Value>[] = [];
      collect(root, segments, 0, all);
      const first = all[0];
      if (first === undefined) return [];
      if (all.length === 1) return first.values;
      return (all.length > maxCompared ? all : withoutPrecedence(all)).flatMap(({ values }) => values);
    },
  };
}

function childFor<Value>(node: Node<Value>, segment: Segment): Node<Value> {
  switch (segment.kind) {
    case "text": {
      const child = node.texts.get(segment.text) ?? emptyNode<Value>();
      node.texts.set(segment.text, child);
      return child;
    }
    case "pattern": {
      const same = node.patterns.find(({ texts }) => texts.join("{}") === segment.texts.join("{}"));
      if (same) return same.node;
      const child = emptyNode<Value>();
      node.patterns.push({ texts: segment.texts, node: child });
      return child;
    }
    case "parameter":
      node.parameter ??= emptyNode<Value>();
      return node.parameter;
  }
}

function collect<Value>(node: Node<Value>, segments: readonly string[], index: number, all: Found<Value>[]): void {
  const segment = segments[index];
  if (segment === undefined) {
    if (node.found) all.push(node.found);
    return;
  }
  const child = node.texts.get(segment);
  if (child) collect(child, segments, index + 1, all);
  for (const { texts, node: next } of node.patterns) {
    if (matchesPattern(texts, segment)) collect(next, segments, index + 1, all);
  }
  if (node.parameter && segment !== "") collect(node.parameter, segments, index + 1, all);
}

const withoutPrecedence = <Value>(all: readonly Found<Value>[]): Found<Value>[] =>
  all.filter((one) => !all.some((other) => precedes(other.ranks, one.ranks)));

const precedes = (one: readonly number[], other: readonly number[]): boolean =>
  one.every((rank, index) => rank <= (other[index] ?? 0)) && one.some((rank, index) => rank < (other[index] ?? 0));
