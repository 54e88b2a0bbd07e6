/** An operation needs its scopes, of the user and of the credential, and API keys are accepted only where it is declared. */
import { needsRights, type Operation } from "../contract/operations.ts";
import { type Credentials, type Probe, type Reply, type TestUser, Unchecked } from "./probe.ts";

const where = ({ method, path }: Operation) => `${method} ${path}`;

/** Creates an API key. */
async function createKey(
  { call, operationFor, assertSuccess }: Probe,
  { basic }: Credentials,
  scopes: string[],
): Promise<{ key: string; id: string }> {
  const body = { name: "fuzz", scopes };
  const { json } = assertSuccess(
    await call(operationFor("createKey"), { ...basicOf(basic), body }),
    "no key is created",
  );
  return { key: String(json["key"]), id: String(json["id"]) };
}

const basicOf = (basic: Credentials["basic"]): Credentials => (basic ? { basic } : {});

/** Returns the credentials of an administrator. @throws {Unchecked} if there are none */
function administratorOf({ details }: Probe): [string, string] {
  if (!details.administrator) throw new Unchecked("no administrator is known");
  return details.administrator;
}

/** A 403 says which scopes are missing, in the problem and in the challenge (RFC 6750, section 3.1). */
function assertRefused(
  { assert }: Probe,
  operation: Operation,
  { status, slug, json, headers }: Reply,
  how: string,
): void {
  assert(
    status === 403 && slug === "insufficient-scope",
    `${where(operation)}: accepted without its scopes, ${how}: ${status} ${slug}`,
  );
  const challenge = headers["www-authenticate"]?.join() ?? "";
  // An error of OAuth has no member for the scopes (RFC 6749, section 5.2).
  const named = "error_uri" in json ? /scope="([^"]*)"/.exec(challenge)?.[1] : json["scope"];
  const missing = String(named).split(" ");
  assert(
    missing.length > 0 && missing.every((scope) => operation.scopes.includes(scope)),
    `${where(operation)}: the problem names other scopes, ${how}: ${missing}`,
  );
  assert(
    challenge.includes('error="insufficient_scope"') && challenge.includes(`scope="${missing.join(" ")}"`),
    `${where(operation)}: the challenge does not name the missing scopes, ${how}: ${challenge}`,
  );
}

/** A token that is limited to a scope. */
async function limitedToken({ call, operationFor, assertSuccess }: Probe, basic: [string, string], scope: string) {
  const { json } = assertSuccess(
    await call(operationFor("issue"), { basic, query: `scope=${encodeURIComponent(scope)}` }),
    "no limited token is issued",
  );
  return String(json["token"]);
}

/** Users without the scopes of an operation, and credentials that are limited to others, are refused. */
export async function scopesAreRequired(probe: Probe): Promise<void> {
  const { api, register, token, call, inputsFor } = probe;
  const administrator = administratorOf(probe);
  const user = await register();
  const bearer = await token(user);
  const key = await createKey(probe, user, []);
  const other: Record<string, string> = {};
  for (const scope of ["account:read", "account:write"]) other[scope] = await limitedToken(probe, administrator, scope);
  for (const operation of api.operations.filter(({ scopes }) => scopes.length > 0)) {
    const { basic: _, ...inputs } = (await inputsFor(operation, user)) ?? {};
    const refused = async (how: string, credentials: Credentials) =>
      assertRefused(probe, operation, await call(operation, { ...inputs, ...credentials }), how);
    if (needsRights(operation)) {
      await refused("as a user without them", { basic: user.basic });
      await refused("with a token of such a user", { bearer });
    }
    const [unrelated = ""] = ["account:read", "account:write"].filter((scope) => !operation.scopes.includes(scope));
    await refused(`with an administrator's token for ${unrelated}`, { bearer: other[unrelated] ?? "" });
    if (operation.acceptsApiKeys) await refused("with a key without scopes", { bearer: key.key });
  }
}

/** API keys are accepted where the contract declares it, and nowhere else. */
export async function apiKeysAreAcceptedWhereDeclared(probe: Probe): Promise<void> {
  const { api, register, call, inputsFor, assert, accepts } = probe;
  const user = await register();
  const { key } = await createKey(probe, user, []);
  assert(await accepts({ bearer: key }), "a new API key is rejected");
  assert(await accepts({ basic: [key, "unused"] }), "an API key is rejected as the Basic username");
  for (const operation of api.operations.filter((one) => one.schemes.length > 0 && !one.acceptsApiKeys)) {
    const { basic: _, ...inputs } = (await inputsFor(operation, user)) ?? {};
    for (const credentials of [{ bearer: key }, { basic: [key, "unused"] as [string, string] }]) {
      const { status } = await call(operation, { ...inputs, ...credentials });
      assert(status === 401, `${where(operation)}: an API key is accepted, although it is not declared: ${status}`);
    }
  }
}

/** Rights end at once: with the key, with the role, and while the user is blocked. */
export async function endedRightsAreRejected(probe: Probe): Promise<void> {
  const { register, signIn, token, call, operationFor, assert, assertSuccess, accepts, api } = probe;
  const basic = administratorOf(probe);
  const change = (user: TestUser, body: object) =>
    call(operationFor("changeAnyUser"), { basic, path: { id: user.id }, body });
  const changed = async (user: TestUser, body: object) =>
    assertSuccess(await change(user, body), "a user is not changed");

  const user = await register();
  const first = await createKey(probe, user, []);
  const kept = await createKey(probe, user, []);
  const end = api.operations.find((one) => probe.roles.endKey.includes(one) && !needsRights(one));
  if (!end) throw new Unchecked("the contract has no operation that deletes a key");
  assertSuccess(await call(end, { basic: user.basic, path: { id: first.id } }), "a key is not deleted");
  assert(!(await accepts({ bearer: first.key })), "an API key still works after its deletion");
  assert(await accepts({ bearer: kept.key }), "another API key of the same user is deleted");
  assertSuccess(await call(operationFor("revokeKey"), { body: { key: kept.key } }), "a key is not revoked");
  assert(!(await accepts({ bearer: kept.key })), "an API key still works after its revocation");

  const guarded = api.operations.find((one) => one.method === "GET" && needsRights(one) && !one.path.includes("{"));
  if (!guarded) throw new Unchecked("no operation needs rights");
  const member = await register();
  await changed(member, { roles: ["administrator"] });
  const own = { bearer: await token(member) };
  const { key } = await createKey(probe, member, guarded.scopes);
  assertSuccess(await call(guarded, own), "a role gives no rights");
  assertSuccess(await call(guarded, { bearer: key }), "a key has no rights");
  await changed(member, { roles: [] });
  assertRefused(probe, guarded, await call(guarded, own), "with a token after the role was removed");
  assertRefused(probe, guarded, await call(guarded, { bearer: key }), "with a key after the role was removed");

  const blocked = await register();
  const [session, apart] = [await signIn(blocked), await token(blocked)];
  const machine = await createKey(probe, blocked, []);
  await changed(blocked, { blocked: true });
  for (const [what, credentials] of [
    ["the password", { basic: blocked.basic }],
    ["a token", { bearer: apart }],
    ["a session's token", { bearer: session.bearer }],
    ["an API key", { bearer: machine.key }],
  ] as const)
    assert(!(await accepts(credentials)), `${what} of a blocked user still works`);
  await changed(blocked, { blocked: false });
  assert(await accepts({ basic: blocked.basic }), "the password does not work after unblocking");
  assert(!(await accepts({ bearer: apart })), "a token of a blocked user works again after unblocking");
}
