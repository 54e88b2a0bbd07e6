/** Whether a new username and a new password are accepted. */
import type { CanonicalUsername } from "../identifiers.ts";
import { fairQueue } from "../lib/fairQueue.ts";
import { beginsLikeToken, hasApiKeyShape } from "../openapi/authorizationHeader.ts";
import { checkPolicy, explainRefusal, newPassword, type PasswordPolicy } from "../passwords/policy.ts";
import { loadDictionaries } from "../passwords/strengthCheck.ts";
import { invalidRequest, Problem } from "../problems/problems.ts";
import type { Client } from "../throttling/counters.ts";
import { newUsername } from "./username.ts";

/** How long a password may wait for its strength estimate, and how many may wait. */
const estimateTimeoutMs = 1_000;
const maxEstimates = 64;

const looksLikeCredential = "looks like a token or an API key";

/** @throws {Problem} `invalid-request` */
export function acceptUsername(name: string): CanonicalUsername {
  const accepted = beginsLikeToken(name) ? { refusal: looksLikeCredential } : newUsername(name);
  // In its stored form: `LK_…` becomes `lk_…`, with which the user could not sign in.
  const isApiKey = "text" in accepted && hasApiKeyShape(accepted.text);
  return requireAccepted(isApiKey ? { refusal: looksLikeCredential } : accepted, "#/username");
}

/**
 * @returns the form in which the password is hashed
 * @throws {Problem} `invalid-request`
 */
export const acceptPassword = (password: string, pointer: "#/password" | "#/new_password"): string =>
  requireAccepted(newPassword(password), pointer);

/** The detail can contain a character of the input, so it is not logged. */
function requireAccepted<Text extends string>(enforced: { text: Text } | { refusal: string }, pointer: string): Text {
  if ("text" in enforced) return enforced.text;
  throw invalidRequest({ pointer, detail: enforced.refusal });
}

/** Rejects a weak password. @throws {Problem} `password-refused`, `overloaded` */
export type EnforcePolicy = (password: string, client: Client) => Promise<void>;

/** An estimate can take 0.25 s, so there is one at a time, in a fair order. */
export function policyEnforcer(policy: PasswordPolicy): EnforcePolicy {
  const estimates = fairQueue(1, maxEstimates);
  return async (password, { networks, account }) => {
    if (policy.blocklist) await loadDictionaries();
    const turn = { networks, account, deadline: performance.now() + estimateTimeoutMs };
    const reason = await estimates.run(turn, () => checkPolicy(password, account, policy));
    if (reason) throw new Problem("password-refused", { reason, detail: explainRefusal(reason, policy) });
  };
}
