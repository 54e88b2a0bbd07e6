/** Verifies Latchkey's tokens and API keys in another service, from memory, and follows revocations. */
export { ContractError } from "./contract/document.ts";
export { type ContractGuardOptions, contractGuard } from "./contractGuard.ts";
export { type Guard, type GuardedRequest, requireScopes } from "./guard.ts";
export type { Counters, Verifier, VerifierOptions, VerifyOptions } from "./options.ts";
export type { ClientPrincipal, Principal, UserPrincipal } from "./principal.ts";
export { type CreateRefusal, type ProblemDetails, Refusal, type RefusalMembers, type RefusalSlug } from "./refusal.ts";
export { createVerifier } from "./verifier.ts";
