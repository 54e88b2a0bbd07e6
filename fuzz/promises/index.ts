/** The promises of the service that the contract cannot express, each with its check. */

import { boundsAreEnforced, passwordsAreHashedInFull } from "./bounds.ts";
import {
  headEqualsGet,
  inputsAreValidated,
  locationsExist,
  otherOriginsCannotReadResponses,
  undeclaredOperationsAreRejected,
} from "./http.ts";
import {
  basicCredentialsAreStrict,
  equivalentUsernamesAreOneUser,
  passwordsAreExact,
  usernamesAreNotDisclosed,
  weakPasswordsAreRejected,
} from "./passwords.ts";
import type { Probe } from "./probe.ts";
import { apiKeysAreAcceptedWhereDeclared, endedRightsAreRejected, scopesAreRequired } from "./scopes.ts";
import {
  invalidRefreshTokensEndNoSession,
  lostRefreshesCanBeRepeated,
  pagesAreComplete,
  refreshTokenReuseIsDetected,
  sessionsAreLimited,
  sessionsBelongToTheirUser,
} from "./sessions.ts";
import {
  claimsAreVerified,
  endedCredentialsAreRejected,
  onlyDeclaredCredentialsAreAccepted,
  tokensCannotBeForged,
} from "./tokens.ts";

/** By name, in the order in which they are checked: attacks first. */
export const promises: Record<string, (probe: Probe) => Promise<void>> = {
  "passwords-are-exact": passwordsAreExact,
  "equivalent-usernames-are-one-user": equivalentUsernamesAreOneUser,
  "basic-credentials-are-strict": basicCredentialsAreStrict,
  "tokens-cannot-be-forged": tokensCannotBeForged,
  "claims-are-verified": claimsAreVerified,
  "ended-credentials-are-rejected": endedCredentialsAreRejected,
  "scopes-are-required": scopesAreRequired,
  "api-keys-are-accepted-where-declared": apiKeysAreAcceptedWhereDeclared,
  "ended-rights-are-rejected": endedRightsAreRejected,
  "sessions-belong-to-their-user": sessionsBelongToTheirUser,
  "lost-refreshes-can-be-repeated": lostRefreshesCanBeRepeated,
  "refresh-token-reuse-is-detected": refreshTokenReuseIsDetected,
  "invalid-refresh-tokens-end-no-session": invalidRefreshTokensEndNoSession,
  "usernames-are-not-disclosed": usernamesAreNotDisclosed,
  "only-declared-credentials-are-accepted": onlyDeclaredCredentialsAreAccepted,
  "weak-passwords-are-rejected": weakPasswordsAreRejected,
  "sessions-are-limited": sessionsAreLimited,
  "pages-are-complete": pagesAreComplete,
  "head-equals-get": headEqualsGet,
  "undeclared-operations-are-rejected": undeclaredOperationsAreRejected,
  "inputs-are-validated": inputsAreValidated,
  "other-origins-cannot-read-responses": otherOriginsCannotReadResponses,
  "locations-exist": locationsExist,
  "passwords-are-hashed-in-full": passwordsAreHashedInFull,
  "bounds-are-enforced": boundsAreEnforced,
};
