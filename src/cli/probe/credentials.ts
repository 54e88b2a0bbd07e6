/** Real credentials of a Latchkey, from which the probe makes those that must be rejected: revoked, limited, for another API. */
import type { JsonWebKey } from "node:crypto";
import type { Contract, Operation } from "../../../packages/verify/src/contract/contract.ts";
import { missingScopes } from "../../../packages/verify/src/contract/security.ts";
import { InputError, StartError } from "../../errors.ts";

export type Account = {
  issuer: string;
  username: string;
  password: string;
  /** The API of the service; `undefined` for Latchkey itself. */
  audience: string | undefined;
  /** Another API, for a token that the service must reject. */
  otherAudience: string | undefined;
};

/** A token, or why there is none. */
export type Wanted = { token: string } | { skipped: string };

export type Credentials = {
  /** A token with all rights of the user. */
  valid: { token: string; lifetimeSeconds: number };
  /** Belongs to another session than `valid`, and is valid until `revoke` was called. Further calls do nothing. */
  session: { token: string; revoke(): Promise<void> };
  otherAudience: Wanted;
  /** @returns a token whose scopes are not sufficient for an operation */
  withoutScopeOf(operation: Operation): Promise<Wanted>;
};

const timeoutMs = 10_000;

/** @throws {StartError | InputError} if Latchkey does not respond, or rejects the password */
export async function openCredentials(account: Account, { scopes }: Contract): Promise<Credentials> {
  const { issuer, username, password, audience } = account;
  const basic = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  const call = (method: string, path: string, body?: object) =>
    ask(new URL(path, `${issuer.replace(/\/$/, "")}/`), {
      method,
      headers: { Authorization: basic, "Content-Type": "application/json" },
      ...(body && { body: JSON.stringify(body) }),
    });
  const getToken = async (parameters: Record<string, string | undefined>) => {
    const given = Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== undefined);
    return call("GET", `api/token?${new URLSearchParams(given)}`);
  };
  const required = (answer: LatchkeyAnswer): Record<string, unknown> => {
    if (answer.status === 401) throw new InputError("Latchkey rejected the username or the password.");
    if (answer.status >= 400) throw new InputError(`Latchkey issued no token: ${answer.problem}`);
    return answer.body;
  };

  const valid = required(await getToken({ audience }));
  const session = required(await call("POST", "api/sessions", audience === undefined ? {} : { audience }));
  let isRevoked = false;
  const limited = new Map<string, Promise<Wanted>>();

  return {
    valid: { token: String(valid["token"]), lifetimeSeconds: Number(valid["duration"]) },
    session: {
      token: String(session["access_token"]),
      async revoke() {
        if (isRevoked) return;
        isRevoked = true;
        const { status, problem } = await call("DELETE", `api/sessions/${session["id"]}`);
        if (status !== 204) throw new StartError(`Latchkey did not end the session: ${problem}`);
      },
    },
    otherAudience: await tokenOfAnotherApi(),
    async withoutScopeOf(operation) {
      const scope = scopes.find(
        (one) => missingScopes(operation.bearerAlternatives, (held) => held === one).length > 0,
      );
      if (scope === undefined) return { skipped: "The contract has no other scope to limit a token to." };
      const known = limited.get(scope) ?? limitedTo(scope);
      limited.set(scope, known);
      return known;
    },
  };

  async function tokenOfAnotherApi(): Promise<Wanted> {
    const { otherAudience } = account;
    if (audience === undefined && otherAudience === undefined)
      return { skipped: "Use --other-audience with an API that is registered." };
    const { token } = required(await getToken({ audience: otherAudience }));
    return { token: String(token) };
  }

  async function limitedTo(scope: string): Promise<Wanted> {
    const { status, body, problem } = await getToken({ audience, scope });
    if (status !== 200) return { skipped: `Latchkey issued no token with the scope ${scope}: ${problem}` };
    return { token: String(body["token"]) };
  }
}

/** @returns the public keys of an issuer; none if it does not respond with a key set */
export async function readKeys(issuer: string): Promise<JsonWebKey[]> {
  const { body } = await ask(new URL(".well-known/jwks.json", `${issuer.replace(/\/$/, "")}/`), {});
  return Array.isArray(body["keys"]) ? (body["keys"] as JsonWebKey[]) : [];
}

type LatchkeyAnswer = { status: number; body: Record<string, unknown>; problem: string };

/** Sends a password: it follows no redirect. */
async function ask(url: URL, init: RequestInit): Promise<LatchkeyAnswer> {
  const response = await fetch(url, { ...init, redirect: "error", signal: AbortSignal.timeout(timeoutMs) }).catch(
    (cause: unknown) => {
      throw new StartError(`${url.origin} does not respond.`, { cause });
    },
  );
  const value: unknown = await response.json().catch(() => undefined);
  const body = typeof value === "object" && value !== null ? { ...value } : {};
  const { title, detail } = body as { title?: string; detail?: string };
  return { status: response.status, body, problem: detail ?? title ?? `status ${response.status}` };
}
