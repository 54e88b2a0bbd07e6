/** Values at each bound of the contract cause no server error. Values beyond a bound return 400. */
import type { Operation, Schema } from "../contract/operations.ts";
import { mergeAllOf } from "../generators/simplest.ts";
import { type Probe, strongPassword } from "./probe.ts";

/** Lengths at which buffers, columns and hash inputs often end. */
const lengths = [
  15, 16, 31, 32, 55, 56, 63, 64, 65, 71, 72, 73, 100, 127, 128, 129, 255, 256, 257, 512, 1024, 2047, 2048, 2049,
];

/** Values around the bounds of a schema. `isValid` is `undefined` if the schema alone does not decide it. */
function valuesAround(schema: Schema): { value: unknown; isValid: boolean | undefined }[] {
  if (schema.oneOf || schema.anyOf) return [];
  const types = [schema.type ?? []].flat();
  const [type = "string"] = types;
  const { minimum, maximum, minLength, maxLength } = schema;
  const beyond = (value: unknown) => ({ value, isValid: false });
  if (type === "integer" || type === "number") {
    return [
      ...(minimum === undefined ? [] : [{ value: minimum, isValid: undefined }, beyond(minimum - 1)]),
      ...(maximum === undefined ? [] : [{ value: maximum, isValid: undefined }, beyond(maximum + 1)]),
      ...(type === "integer" ? [beyond(1.5)] : []),
      beyond("x"),
    ];
  }
  if (type !== "string") return [];
  return [
    ...lengths.map((length) => ({
      value: "x".repeat(length),
      isValid: maxLength !== undefined && length > maxLength ? false : undefined,
    })),
    ...lengths.map((length) => ({ value: "é".repeat(length), isValid: undefined })),
    ...(minLength ? [beyond("")] : []),
    ...[1, true, [], {}, ...(types.includes("null") ? [] : [null])].map(beyond),
  ];
}

export async function boundsAreEnforced(probe: Probe): Promise<void> {
  for (const operation of probe.api.operations) {
    // It passes every value on to the GET, which is checked like any other operation.
    if (operation === probe.roles.submitAuthorization) continue;
    const user = await probe.register();
    const inputs = await probe.inputsFor(operation, user);
    if (!inputs) continue;
    const bearer = inputs.basic || operation.schemes.length === 0 ? {} : { bearer: await probe.token(user) };
    const sent = { ...inputs, ...bearer };
    for (const { name, schema } of operation.parameters.filter((one) => one.in === "query")) {
      for (const { value, isValid } of valuesAround(mergeAllOf(probe.api, schema))) {
        if (
          typeof value === "object" ||
          typeof value === "boolean" ||
          (typeof value === "number" && [mergeAllOf(probe.api, schema).type].flat().includes("string"))
        )
          continue;
        const { status } = await probe.call(operation, {
          ...sent,
          query: `${name}=${encodeURIComponent(String(value))}`,
        });
        assertFits(probe, operation, name, value, isValid, status);
      }
    }
    const {
      properties = {},
      required = [],
      additionalProperties,
    } = mergeAllOf(probe.api, operation.body?.schema ?? {});
    const { body } = inputs;
    if (typeof body !== "object" || body === null) continue;
    for (const [name, schema] of Object.entries(properties)) {
      for (const { value, isValid } of valuesAround(mergeAllOf(probe.api, schema))) {
        // A form has only texts, and an empty one is like none (RFC 6749, section 3.2).
        const isText = typeof value === "string" && (value !== "" || required.includes(name));
        if (!isText && operation.body?.type !== "application/json") continue;
        const { status } = await probe.call(operation, { ...sent, body: { ...body, [name]: value } });
        assertFits(probe, operation, name, value, isValid, status);
      }
      if (!required.includes(name)) continue;
      const { [name]: _, ...others } = body as Record<string, unknown>;
      const { status } = await probe.call(operation, { ...sent, body: others });
      probe.assert(status === 400, `${operation.method} ${operation.path} without ${name} is ${status}`);
    }
    if (additionalProperties !== false) continue;
    const { status } = await probe.call(operation, { ...sent, body: { ...body, surprise: 1 } });
    probe.assert(status === 400, `${operation.method} ${operation.path} with an undeclared member is ${status}`);
  }
}

function assertFits(
  probe: Probe,
  { method, path }: Operation,
  name: string,
  value: unknown,
  isValid: boolean | undefined,
  status: number,
): void {
  const shown = JSON.stringify(value).slice(0, 40);
  if (isValid === false) probe.assert(status === 400, `${method} ${path}: ${name} ${shown} is ${status}, not 400`);
}

/** Passwords are hashed in full: a user with a password of any length can sign in. */
export async function passwordsAreHashedInFull({ register, accepts, assert, runId }: Probe): Promise<void> {
  const long = `${strongPassword(runId)} and further strange tales of ${runId}`;
  for (const length of [16, 55, 56, 64, 71, 72, 73, 100, 128]) {
    const password = `${[...long].slice(0, length - 1).join("")}§`;
    const { basic } = await register(password);
    assert(await accepts({ basic }), `a user with a password of ${length} characters cannot sign in`);
  }
}
