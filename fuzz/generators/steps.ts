/** Sequences of requests that are valid, almost valid or hostile. */
import fc, { type Arbitrary } from "fast-check";
import type { Api, Operation, Parameter } from "../contract/operations.ts";
import { json, type Step } from "../plan.ts";
import { body } from "./bodies.ts";
import { credentials } from "./credentials.ts";
import { flows } from "./flowSteps.ts";
import { hostileHeaders, hostileQueries, hostileSegments, hostileText } from "./hostile.ts";
import { choice, oneOf, valid } from "./values.ts";

function path(api: Api, operation: Operation): Arbitrary<Step["path"]> {
  const parameters = operation.parameters.filter((parameter) => parameter.in === "path");
  const segment = ({ name, schema, examples }: Parameter) =>
    oneOf<Step["path"][string]>(
      choice(
        10,
        valid(api, name, schema, examples).map((value) => ({ value, spelling: "plain" as const })),
      ),
      choice(
        2,
        fc.record({
          value: valid(api, name, schema, examples),
          spelling: fc.constantFrom<("upper" | "urn" | "escaped")[]>("upper", "urn", "escaped"),
        }),
      ),
      choice(
        1,
        hostileText.map((text) => ({ value: json(text), spelling: "plain" as const })),
      ),
      choice(
        1,
        fc.constantFrom(...hostileSegments).map((raw) => ({ raw })),
      ),
    );
  return fc.record(Object.fromEntries(parameters.map((parameter) => [parameter.name, segment(parameter)])));
}

function query(api: Api, operation: Operation): Arbitrary<Step["query"]> {
  const parameters = operation.parameters.filter((parameter) => parameter.in === "query");
  const part = ({ name, schema, examples }: Parameter) =>
    oneOf<Step["query"]>(
      choice(4, fc.constant([])),
      choice(
        4,
        valid(api, name, schema, examples).map((value) => [{ name, value }]),
      ),
      choice(
        1,
        hostileText.map((text) => [{ name, value: json(text) }]),
      ),
      choice(
        1,
        valid(api, name, schema, examples).map((value) => [
          { name, value },
          { name, value },
        ]),
      ),
    );
  return fc.tuple(...parameters.map(part)).map((parts) => parts.flat());
}

function step(api: Api, operation: Operation): Arbitrary<Step> {
  const rarely = <T>(arbitrary: Arbitrary<T>, often: number) =>
    oneOf<T[]>(choice(often, fc.constant([])), choice(1, fc.array(arbitrary, { minLength: 1, maxLength: 2 })));
  return fc.record({
    operation: fc.constant(operation.id),
    method: oneOf(
      choice(24, fc.constant(operation.method)),
      choice(1, fc.constantFrom(..."GET HEAD POST PUT PATCH DELETE OPTIONS TRACE PROPFIND QUERY FOO get".split(" "))),
    ),
    credentials: credentials(operation),
    path: path(api, operation),
    query: query(api, operation),
    rawQuery: rarely(fc.constantFrom(...hostileQueries), 16),
    headers: rarely(fc.constantFrom(...hostileHeaders), 4),
    body: body(api, operation),
  });
}

/**
 * Sequences of steps. Most are operations that take credentials or a body, because most faults are there. Some are flows of OAuth,
 * followed by other steps.
 */
export function sequences(api: Api): Arbitrary<Step[]> {
  const steps = api.operations.map((operation) =>
    choice(operation.usualSchemes.length > 0 || operation.body ? 6 : 1, step(api, operation)),
  );
  const random = (maxLength: number) => fc.array(fc.oneof(...steps), { maxLength, size: "max" });
  const withFlow = fc.tuple(flows(api), random(3)).map((parts) => parts.flat());
  return oneOf(choice(4, random(12)), choice(1, withFlow));
}
