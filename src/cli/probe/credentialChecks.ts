/** Requests with a real token that was revoked, has expired, lacks the scope, or is for another API. */
import type { Operation } from "../../../packages/verify/src/contract/contract.ts";
import type { Credentials, Wanted } from "./credentials.ts";
import { checkForgedScopes, checkForgedUser } from "./identityChecks.ts";
import { isRefused, type Judge } from "./judge.ts";
import { bearer } from "./requestChecks.ts";
import type { Answer, Send } from "./send.ts";
import type { Target } from "./targets.ts";

type Parts = {
  judge: Judge;
  send: Send;
  credentials: Credentials | undefined;
  /** All operations that were asked. */
  probed: readonly Target[];
  /** The responses to a valid token. */
  controls: ReadonlyMap<Target, Answer>;
  each: (targets: readonly Target[], step: (target: Target) => Promise<unknown>) => Promise<unknown>;
  skip(check: string, reason: string): void;
  /** How long to wait for a token to expire. */
  waitSeconds: number;
  sleep(seconds: number): Promise<void>;
};

const checks = ["missing-scope", "other-audience", "revoked-token", "expired-token"];

/** A revocation takes effect within this time. */
const revocationSeconds = 1;

/** Clocks differ: a service may accept a token for this time after it has expired. */
const leewaySeconds = 10;

/**
 * Skips operations for which the service rejects a valid token, because the checks would prove nothing there.
 * @param targets those that refused the request without a credential
 */
export async function checkCredentials(targets: readonly Target[], parts: Parts): Promise<void> {
  const { judge, send, credentials, probed, controls, each, skip, waitSeconds, sleep } = parts;
  const skipAll = (reason: string) => {
    for (const check of checks) skip(check, reason);
  };
  if (!credentials) return skipAll("It needs --issuer and --username.");
  const works = [...controls.values()].some((answer) => answer.status > 0 && !isRefused(answer));
  if (!works) return skipAll("The service accepted no valid token. Check --audience, and the roles of the user.");
  // A valid token is not sent with an unsafe method.
  const accepted = targets.filter((target) => {
    const answer = controls.get(target);
    return answer === undefined || !isRefused(answer);
  });
  if (accepted.length === 0) return skipAll(`No operation ${refusedAndAccepted}.`);
  const use = async (check: string, wanted: Wanted, all = accepted) => {
    if ("skipped" in wanted) skip(check, wanted.skipped);
    else await each(all, (target) => judge.mustRefuse(target, check, bearer(wanted.token)));
  };

  const scoped = accepted.filter(({ operation }) => needsScope(operation));
  if (scoped.length === 0) {
    const isRequired = probed.some(({ operation }) => needsScope(operation));
    const which = isRequired ? `that requires a scope ${refusedAndAccepted}` : "that was probed requires a scope";
    skip("missing-scope", `No operation ${which}.`);
  }
  for (const target of scoped) {
    const wanted = await credentials.withoutScopeOf(target.operation);
    const before = judge.findings.length;
    await use("missing-scope", wanted, [target]);
    const isFound = judge.findings.length > before;
    if ("token" in wanted && !isFound) await checkForgedScopes(target, wanted.token, { judge });
  }
  // With a valid token, only what changes nothing.
  const shown = accepted.filter((target) => controls.has(target));
  await each(shown, (target) => checkForgedUser(target, credentials.valid.token, { judge, send }));

  await use("other-audience", credentials.otherAudience);

  const { token: sessionToken, revoke } = credentials.session;
  await revoke();
  await sleep(revocationSeconds);
  await use("revoked-token", { token: sessionToken });

  const { token, lifetimeSeconds } = credentials.valid;
  const seconds = lifetimeSeconds + leewaySeconds;
  if (seconds > waitSeconds) return skip("expired-token", `To wait until it has expired, use --wait ${seconds}.`);
  await sleep(seconds);
  await use("expired-token", { token });
}

const refusedAndAccepted = "refused the request without a credential and accepted a valid token";

/** Whether an operation accepts tokens, but no token without scopes. */
const needsScope = ({ bearerAlternatives }: Operation): boolean =>
  bearerAlternatives.length > 0 && bearerAlternatives.every((scopes) => scopes.length > 0);
