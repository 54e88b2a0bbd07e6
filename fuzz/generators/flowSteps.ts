/** Flows of OAuth in which a few steps are changed, left out or repeated. */
import fc, { type Arbitrary } from "fast-check";
import { isForm } from "../contract/bodies.ts";
import type { Api, Operation } from "../contract/operations.ts";
import { type Corruption, json, type Proof, type Step, type Value } from "../plan.ts";
import { bodyTypes, corruption } from "./bodies.ts";
import { flowsOf } from "./flows.ts";
import { hostileHeaders, hostileText, hostileValue } from "./hostile.ts";
import { choice, oneOf } from "./values.ts";

type Parameter = Step["query"][number];

const hostileCookies = [
  "__Host-latchkey=x",
  "__Host-latchkey=01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE",
  "__Host-latchkey-browser=Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX",
  "__Host-latchkey-browser=x; __Host-latchkey-browser=y",
  "=; ;;; =x",
  "__Host-latchkey",
  "\u00ff=\u00ff",
];
/** The end of a form: half an escape, bytes that are not UTF-8, and parameters that are sent twice. */
const formEnds = [
  "&x=%",
  "&x=%4",
  "%",
  "&%ff=1",
  "&x=%ed%a0%80",
  "&=&&",
  "&client_id=x",
  "&scope=x",
  "&token=x",
  "&x=1&x=2",
];
const proofs: Proof[] = ["valid", "another method", "another path", "old", "used", "another key", "no signature"];
const otherValues: Value[] = [
  ..."client_id client_secret access_token refresh_token id_token code device_code user_code token authorization".split(
    " ",
  ),
].map((latest) => ({ latest }));

/** A value of another parameter, or a hostile one. */
const otherText: Arbitrary<Value> = fc.oneof(
  fc.constantFrom(...otherValues),
  hostileText.map(json),
  fc.constant(json("")),
);

/** Changes one element, leaves it out, or repeats it. */
function changedList<T>(list: T[], changed: (one: T) => Arbitrary<T>): Arbitrary<T[]> {
  if (list.length === 0) return fc.constant(list);
  return fc.nat({ max: list.length - 1 }).chain((at) =>
    fc.oneof<Arbitrary<T[]>[]>(
      changed(list[at] as T).map((one) => list.with(at, one)),
      fc.constant(list.toSpliced(at, 1)),
      fc.constant([...list, list[at] as T]),
      changed(list[at] as T).map((one) => [...list, one]),
    ),
  );
}

function changedStep(operation: Operation, step: Step): Arbitrary<Step> {
  const { body, query } = step;
  const ways: Arbitrary<Step>[] = [
    fc.constantFrom(...hostileCookies, "").map((cookie) => ({ ...step, cookie })),
    fc.constantFrom(...proofs).map((proof) => ({ ...step, proof })),
    fc.constantFrom(...hostileHeaders).map((header) => ({ ...step, headers: [header] })),
    fc
      .constantFrom("surprise=1", "client_id=x", "state=1&state=2", "%zz=1")
      .map((raw) => ({ ...step, rawQuery: [raw] })),
  ];
  if (query.length > 0) {
    const changed = ({ name }: Parameter) => otherText.map((value) => ({ name, value }));
    ways.push(changedList(query, changed).map((changedQuery) => ({ ...step, query: changedQuery })));
  }
  if (body) {
    ways.push(
      bodyTypes(operation.body?.type ?? "application/json").map((types) => ({ ...step, body: { ...body, types } })),
      corruption.map((one) => ({ ...step, body: { ...body, corruption: one } })),
    );
  }
  if (body && "members" in body.value) {
    const changed = ([name]: [string, Value]) =>
      fc.oneof(otherText, hostileValue).map((value): [string, Value] => [name, value]);
    const withMembers = (members: [string, Value][]): Step => ({ ...step, body: { ...body, value: { members } } });
    ways.push(changedList(body.value.members, changed).map(withMembers));
    ways.push(changedList(body.value.members, changed).map(withMembers));
  }
  if (body && isForm(operation)) {
    const ends = fc.constantFrom(...formEnds).map((text): Corruption => ({ kind: "appended", text }));
    ways.push(ends.map((end) => ({ ...step, body: { ...body, corruption: end } })));
  }
  return fc.oneof(...ways);
}

/** Flows with a few wrong steps. The simplest one has none. */
export function flows(api: Api): Arbitrary<Step[]> {
  const stepIn = (step: Step): Arbitrary<Step[]> => {
    const operation = api.operations.find(({ id }) => id === step.operation) as Operation;
    return oneOf<Step[]>(
      choice(10, fc.constant([step])),
      // The wrong one comes before the right one, so that the flow mostly goes on.
      choice(
        3,
        changedStep(operation, step).map((changed) => [changed, step]),
      ),
      choice(
        1,
        changedStep(operation, step).map((changed) => [changed]),
      ),
      choice(1, fc.constant([step, step])),
      choice(1, fc.constant([])),
    );
  };
  const all = [...flowsOf(api).values()].map((steps) => fc.tuple(...steps.map(stepIn)).map((parts) => parts.flat()));
  return all.length > 0 ? fc.oneof(...all) : fc.constant([]);
}
