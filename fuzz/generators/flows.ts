/**
 * Sequences of requests that succeed, above all the flows of OAuth: a client gets tokens, for itself or for a user, and uses and ends
 * them. Random requests alone would never reach most of the steps. A flow without the operations that it needs is left out.
 */
import type { Api, Operation } from "../contract/operations.ts";
import { type Roles, rolesOf } from "../contract/roles.ts";
import { type Credentials, json, type Proof, type Step, type Value } from "../plan.ts";

const callback = "https://app.example/callback";
const signedOut = "https://app.example/signed-out";
const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code";
// RFC 7636, appendix B
const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const latest = (name: string): Value => ({ latest: name });
const username: Value = { returned: "username", pick: 0 };
const password: Value = { returned: "password", pick: 0 };
const asUser: Credentials = { kind: "password", pick: 0, typed: false };
const asAdministrator: Credentials = { kind: "administrator" };

type Parts = {
  credentials?: Credentials;
  path?: Record<string, Value>;
  query?: Record<string, Value>;
  body?: Record<string, Value>;
  proof?: Proof | undefined;
};
/** A step that is absent if the contract has no such operation. */
type Planned = [operation: Operation | undefined, parts?: Parts];

/** How a client authenticates: with its secret, in the header or in the body, or not at all. */
type Authentication = "basic" | "post" | "none";

/** Every flow, by its name. */
export function flowsOf(api: Api): Map<string, Step[]> {
  const roles = rolesOf(api);
  const flows: Record<string, Planned[]> = {
    "a client for itself": clientForItself(roles, "basic"),
    "a client for itself, with its secret in the body": clientForItself(roles, "post"),
    "a public client for a user": clientForUser(roles, { authentication: "none" }),
    "a confidential client for a user": clientForUser(roles, { authentication: "basic", isForm: true }),
    "a client with a key for a user": clientForUser(roles, { authentication: "none", proof: "valid" }),
    "a client for a new user": clientForUser(roles, { authentication: "post", isNewUser: true }),
    "a client that registers itself": clientForUser(roles, { authentication: "none", isDynamic: true }),
    "a user who denies": deniedByUser(roles),
    "a device": device(roles, "none"),
    "a confidential device": device(roles, "post"),
    "the page of a team": pageOfTeam(roles),
    "an API key": apiKey(roles),
  };
  return new Map(
    Object.entries(flows).flatMap(([name, planned]) => {
      const steps = planned.map(([operation, parts]) => operation && stepOf(operation, parts));
      return steps.every((one) => one !== undefined) ? [[name, steps]] : [];
    }),
  );
}

/**
 * Whether an operation succeeds in a flow only: what authenticates its request is not in the header, an earlier page has set it, or only
 * a flow makes the grant that it deletes. To register a client and to revoke a token needs no flow.
 */
export function needsFlow(api: Api, operation: Operation): boolean {
  const { registerClient, revokePresented, deleteGrant } = rolesOf(api);
  if (operation === deleteGrant) return true;
  if (operation === registerClient || operation === revokePresented) return false;
  const isInFlow = [...flowsOf(api).values()].flat().some((step) => step.operation === operation.id);
  return isInFlow && operation.usualSchemes.length === 0;
}

function stepOf(operation: Operation, { credentials, path = {}, query = {}, body, proof }: Parts = {}): Step {
  return {
    operation: operation.id,
    method: operation.method,
    credentials: credentials ?? { kind: "none" },
    path: Object.fromEntries(
      Object.entries(path).map(([name, value]) => [name, { value, spelling: "plain" as const }]),
    ),
    query: Object.entries(query).map(([name, value]) => ({ name, value })),
    rawQuery: [],
    headers: [],
    proof,
    body: body && {
      value: { members: Object.entries(body) },
      types: [operation.body?.type ?? "application/json"],
      corruption: undefined,
    },
  };
}

function newClient(roles: Roles, authentication: Authentication): Planned {
  const isPublic = authentication === "none";
  const grants = ["authorization_code", "refresh_token", deviceGrant, ...(isPublic ? [] : ["client_credentials"])];
  const body = {
    name: json("A fuzzed client"),
    public: json(isPublic),
    grant_types: json(grants),
    redirect_uris: json([callback]),
    post_logout_redirect_uris: json([signedOut]),
    scopes: json(["account:read", "account:write", ...(isPublic ? [] : ["tokens:introspect"])]),
  };
  return [roles.createClient, { credentials: asAdministrator, body }];
}

/** A request that a client authenticates. */
function byClient(authentication: Authentication, body: Record<string, Value>, proof?: Proof): Parts {
  if (authentication === "basic") return { credentials: { kind: "client" }, body, proof };
  const secret = authentication === "post" ? { client_secret: latest("client_secret") } : {};
  return { body: { ...body, client_id: latest("client_id"), ...secret }, proof };
}

function clientForItself(roles: Roles, authentication: Authentication): Planned[] {
  const request = byClient(authentication, {
    grant_type: json("client_credentials"),
    scope: json("tokens:introspect"),
  });
  const introspection = { token: latest("access_token") };
  const client = { client_id: latest("client_id") };
  return [
    newClient(roles, authentication),
    [roles.tokenEndpoint, request],
    [roles.introspect, byClient(authentication, introspection)],
    [roles.introspect, { credentials: { kind: "issued token", as: "bearer" }, body: introspection }],
    [roles.createSecret, { credentials: asAdministrator, path: client }],
    [roles.tokenEndpoint, request],
    [roles.deleteSecret, { credentials: asAdministrator, path: { ...client, secret_id: latest("id") } }],
    [roles.revokePresented, byClient(authentication, introspection)],
    [roles.deleteClient, { credentials: asAdministrator, path: client }],
    [roles.tokenEndpoint, request],
    [roles.introspect, { credentials: { kind: "issued token", as: "bearer" }, body: introspection }],
  ];
}

const authorization: Record<string, Value> = {
  response_type: json("code"),
  client_id: latest("client_id"),
  redirect_uri: json(callback),
  code_challenge: json(challenge),
  code_challenge_method: json("S256"),
  scope: json("openid profile account:read"),
  nonce: json("n-0S6_WzA2Mj"),
  state: json("af0ifjsldkj"),
};
/** Returns the query of an authorization request. */
export const authorizationQuery = (clientId: string): string =>
  new URLSearchParams({
    response_type: "code",
    client_id: clientId,
    redirect_uri: callback,
    code_challenge: challenge,
    code_challenge_method: "S256",
    scope: "openid account:read",
  }).toString();

const question = { authorization: latest("authorization") };
const redemption = {
  grant_type: json("authorization_code"),
  code: latest("code"),
  code_verifier: json(verifier),
  redirect_uri: json(callback),
};
const refresh = { grant_type: json("refresh_token"), refresh_token: latest("refresh_token") };

type UserFlow = {
  authentication: Authentication;
  /** Whether the request is sent as a form first. */
  isForm?: boolean;
  isNewUser?: boolean;
  isDynamic?: boolean;
  proof?: Proof;
};

function clientForUser(roles: Roles, { authentication, isForm, isNewUser, isDynamic, proof }: UserFlow): Planned[] {
  const scope = json(isDynamic ? "openid profile" : "openid profile account:read");
  const bearer: Parts = { credentials: { kind: "issued token", as: proof ? "dpop" : "bearer" }, proof };
  const registration = {
    client_name: json("A fuzzed program"),
    redirect_uris: json([callback]),
    grant_types: json(["authorization_code", "refresh_token"]),
    token_endpoint_auth_method: json("none"),
  };
  const newUser = { username: json("newcomer"), password: json("Nine copper kettles § sing at dawn") };
  const registered: Planned[] = [
    [roles.signUpPage, { query: question }],
    [roles.signUpForm, { body: { ...question, ...newUser } }],
    // Whose id the registration does not return.
    [roles.self, { credentials: asUser }],
  ];
  const signedIn: Planned[] = [
    [roles.signInPage, { query: question }],
    [roles.signInForm, { body: { ...question, username, password } }],
  ];
  const ofClient: Planned[] = [
    [roles.listGrants, { credentials: asUser }],
    [roles.deleteGrant, { credentials: asUser, path: { id: latest("id") } }],
  ];
  return [
    isDynamic ? [roles.registerClient, { body: registration }] : newClient(roles, authentication),
    ...(isForm ? [[roles.submitAuthorization, { body: { ...authorization, scope } }] satisfies Planned] : []),
    [roles.authorize, { query: { ...authorization, scope } }],
    ...(isNewUser ? registered : signedIn),
    [roles.consentPage, { query: question }],
    [roles.consent, { body: { ...question, decision: json("allow") } }],
    [roles.tokenEndpoint, byClient(authentication, redemption, proof)],
    ...roles.userinfo.map((operation): Planned => [operation, bearer]),
    [roles.tokenEndpoint, byClient(authentication, refresh, proof)],
    [roles.listSessions, bearer],
    ...ofClient,
    ...roles.userinfo.map((operation): Planned => [operation, bearer]),
    [roles.authorize, { query: { ...authorization, scope } }],
    [roles.signOutPage, { query: { client_id: latest("client_id"), post_logout_redirect_uri: json(signedOut) } }],
    [roles.signOutForm, { body: { token: latest("token"), client_id: latest("client_id"), state: json("x") } }],
  ];
}

function deniedByUser(roles: Roles): Planned[] {
  return [
    newClient(roles, "none"),
    [roles.authorize, { query: authorization }],
    [roles.signInForm, { body: { ...question, username, password } }],
    [roles.consentPage, { query: question }],
    [roles.consent, { body: { ...question, decision: json("deny") } }],
    [roles.authorize, { query: { ...authorization, prompt: json("none") } }],
  ];
}

function device(roles: Roles, authentication: Authentication): Planned[] {
  const code = { user_code: latest("user_code") };
  const form = { ...code, token: latest("token") };
  return [
    newClient(roles, authentication),
    [roles.startDevice, byClient(authentication, { scope: json("openid account:read") })],
    [roles.devicePage, { query: code }],
    [roles.signInPage, { query: code }],
    [roles.signInForm, { body: { ...form, username, password } }],
    [roles.devicePage, { query: code }],
    [roles.decideDevice, { body: form }],
    [roles.decideDevice, { body: { ...form, decision: json("allow") } }],
    [
      roles.tokenEndpoint,
      byClient(authentication, { grant_type: json(deviceGrant), device_code: latest("device_code") }),
    ],
    ...roles.userinfo.map((one): Planned => [one, { credentials: { kind: "issued token", as: "bearer" } }]),
    [roles.tokenEndpoint, byClient(authentication, refresh)],
    [roles.revokePresented, { body: { token: latest("refresh_token") } }],
    [roles.tokenEndpoint, byClient(authentication, refresh)],
  ];
}

function apiKey(roles: Roles): Planned[] {
  const key: Parts = { credentials: asUser, path: { id: latest("id") } };
  return [
    [roles.createKey, { credentials: asUser, body: { name: json("A fuzzed key"), scopes: json(["account:read"]) } }],
    [roles.changeKey, { ...key, body: { name: json("A renamed key") } }],
  ];
}

/** The user decides by the API, with the password. */
function pageOfTeam(roles: Roles): Planned[] {
  const asked: Parts = { credentials: asUser, path: { id: latest("authorization_id") } };
  return [
    newClient(roles, "none"),
    [roles.getAuthorization, asked],
    [roles.decideByApi, { ...asked, body: { decision: json("allow") } }],
    [roles.tokenEndpoint, byClient("none", redemption)],
    [roles.tokenEndpoint, byClient("none", redemption)],
    ...roles.userinfo.map((one): Planned => [one, { credentials: { kind: "issued token", as: "bearer" } }]),
  ];
}
