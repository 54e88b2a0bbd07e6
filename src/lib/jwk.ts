/** JSON Web Keys (RFC 7517). */

/** Members of private and symmetric keys (RFC 7518, section 6). */
const secretMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/** Whether a key is more than a public one. */
export const hasSecretPart = (jwk: object): boolean => secretMembers.some((name) => name in jwk);
