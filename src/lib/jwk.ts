/** JSON Web Keys (RFC 7517). */

/** Members of private and symmetric keys (RFC 7518, section 6). */
const secretMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/** Whether a key is more than a public one. */
export const hasSecretPart = (jwk: object): boolean => secretMembers.some((name) => name in jwk);

/**
 * Whether a signature can be verified in about a millisecond. With a long RSA exponent, it would take libuv's thread pool, which also
 * signs tokens, for 15 ms. The contract limits registered keys to the same lengths.
 */
export const isQuickToVerify = ({ n, e }: { n?: unknown; e?: unknown }): boolean =>
  isAtMost(1_366, n) && isAtMost(8, e);

const isAtMost = (maxLength: number, part: unknown): boolean =>
  part === undefined || (typeof part === "string" && part.length <= maxLength);
