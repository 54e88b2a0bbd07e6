import { pino } from "pino";
import { expect, test } from "vitest";
import { describeError } from "../../src/observability/describeError.ts";

const secret = "s3cret\"'\n    at value";
const thrown = (run: () => unknown): unknown => {
  try {
    return run();
  } catch (error) {
    return error;
  }
};
const ofPostgres = (code: string, message: string) =>
  Object.assign(new Error(message), { name: "error", severity: "ERROR", code, detail: secret, where: secret });

test.each<[string, unknown]>([
  ["Postgres, data", ofPostgres("22P02", `invalid input syntax for type uuid: "${secret}"`)],
  ["Postgres, constraint", ofPostgres("23514", `row (${secret})`)],
  ["Postgres, function", ofPostgres("P0001", secret)],
  ["JSON", thrown(() => JSON.parse(`{"a": ${secret}`))],
  ["in", thrown(() => "x" in (secret as unknown as object))],
  ["property", thrown(() => Object.assign(secret as unknown as object, [1]))],
  ["BigInt", thrown(() => BigInt(secret))],
  ["URI", thrown(() => decodeURIComponent(`%${secret}`))],
  ["argument", thrown(() => Buffer.alloc(secret as unknown as number))],
  ["URL", thrown(() => new URL(secret))],
  ["a cause", new Error("outer", { cause: thrown(() => BigInt(secret)) })],
  ["no error", secret],
])("the log has no value of an error of %s", (_name, error) => {
  expect(JSON.stringify(describeError(error))).not.toMatch(/s3cret|at value/);
});

test("a description keeps type, code, stack and messages, without values", () => {
  const refused = ofPostgres("42501", "permission denied for table users");
  expect(describeError(Object.assign(refused, { routine: "aclcheck_error", table: "users" }))).toMatchObject({
    ...{ type: "error", code: "42501", message: "permission denied for table users", routine: "aclcheck_error" },
    stack: expect.stringMatching(/^ +at .*describeError\.test\.ts/),
  });
  expect(
    describeError(Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:5"), { code: "ECONNREFUSED" })),
  ).toMatchObject({ message: "connect ECONNREFUSED 127.0.0.1:5", code: "ECONNREFUSED" });
  expect(describeError(thrown(() => (undefined as unknown as string).length))).toMatchObject({
    ...{ type: "TypeError", message: "Cannot read properties of undefined (reading …" },
  });
});

test("a description is not described twice", () => {
  const lines: string[] = [];
  const log = pino(
    { serializers: { err: (error: unknown) => describeError(error) } },
    { write: (line) => void lines.push(line) },
  );
  const cause = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  log.error({ err: describeError(new Error("outer", { cause })) }, "request errored");
  log.error({ err: { message: secret } }, "not one of ours");
  const [described, other] = lines.map((line) => JSON.parse(line));
  expect(described.err).toMatchObject({ message: "outer", cause: { code: "ECONNREFUSED" } });
  expect(other.err).toEqual({ type: "object" });
});
