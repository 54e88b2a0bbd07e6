/** Credentials of a request. */
import fc, { type Arbitrary } from "fast-check";
import { needsRights, type Operation } from "../contract/operations.ts";
import { forgeries } from "../forgedTokens.ts";
import type { Credentials } from "../plan.ts";
import { credentialHeaders, hostileText } from "./hostile.ts";
import { choice, oneOf } from "./values.ts";

/** Credentials of every kind. The declared ones are the most frequent. */
export function credentials(operation: Operation): Arbitrary<Credentials> {
  const schemes = operation.usualSchemes;
  const pick = fc.nat({ max: 5 });
  const as = fc.constantFrom<"bearer" | "basic">("bearer", "basic");
  const password = fc.record({ kind: fc.constant("password" as const), pick, typed: fc.boolean() });
  const token = fc.record({ kind: fc.constant("token" as const), pick, as });
  const latin1 = fc
    .string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((unit) => String.fromCharCode(unit)) })
    .map((text) => text.replaceAll("\u007f", "")); // Node.js does not send it
  const none = fc.constant<Credentials>({ kind: "none" });
  const administrator = fc.constant<Credentials>({ kind: "administrator" });
  const some: { weight: number; arbitrary: Arbitrary<Credentials> }[] = [
    ...(needsRights(operation) ? [choice(16, administrator)] : []),
    choice(schemes.includes("basic") ? (schemes.includes("bearer") ? 4 : 12) : 1, password),
    choice(schemes.includes("bearer") ? 12 : 2, token),
    choice(2, fc.record({ kind: fc.constant("wrong password" as const), pick, password: hostileText })),
    choice(2, fc.record({ kind: fc.constant("forged token" as const), pick, how: fc.nat({ max: forgeries - 1 }), as })),
    choice(1, fc.record({ kind: fc.constant("expired token" as const), as })),
    choice(
      1,
      fc.constantFrom(...credentialHeaders).map((headers) => ({ kind: "raw" as const, headers })),
    ),
    choice(
      1,
      latin1.map((text) => ({ kind: "raw" as const, headers: [text.trim()] })),
    ),
  ];
  // Nested, because a failure shrinks only to a first choice: to none if possible, otherwise to a password.
  const weight = some.reduce((sum, one) => sum + one.weight, 0);
  return oneOf(choice(schemes.length === 0 ? 20 : 2, none), choice(weight, oneOf(...some)));
}
