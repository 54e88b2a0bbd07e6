/**
 * Authorization requests: what a client asks for through the user's browser (OAuth 2.1, section 4.1.1; OpenID Connect Core, section
 * 3.1.2.1; RFC 7636; RFC 8707; RFC 9449, section 10).
 */

import type { Clients } from "../../clients/clients.ts";
import type { Client } from "../../clients/storeTypes.ts";
import { type ClientId, clientId, type UserId } from "../../identifiers.ts";
import type { IdTokenHint, ReadIdTokenHint } from "../idTokenHints.ts";
import { type Parameters, parseParameters } from "./parameters.ts";
import { isRegistered } from "./redirectUri.ts";

export const promptValues = ["none", "login", "consent", "select_account"] as const;
export type Prompt = (typeof promptValues)[number];

/** A valid request. */
export type AuthorizationRequest = {
  /** A UUID. The request is decided once. */
  id: string;
  /** When it arrived, in milliseconds since 1970, by the clock of the database. */
  beganAtMs: number;
  /** The code that becomes valid if the request is allowed. Only the service can read it. */
  code: string;
  clientId: ClientId;
  redirectUri: string;
  state: string | undefined;
  /** The scope and the resource as sent. What they allow depends on the client, which may change until the user decides. */
  scope: string | undefined;
  resource: string | undefined;
  codeChallenge: string;
  nonce: string | undefined;
  prompts: readonly Prompt[];
  maxAgeSeconds: number | undefined;
  /** A username that the client expects. */
  loginHint: string | undefined;
  /** The only user whose code the client accepts, from `id_token_hint`. */
  expectedUser: UserId | undefined;
  /** The thumbprint of the key that the tokens are to be bound to. */
  dpopJkt: string | undefined;
};

/** An error for the client, in the query of its redirect URI (RFC 6749, section 4.1.2.1). `description`: printable ASCII. */
export type RequestFault = { error: string; description: string };

/** Where the browser returns to, with a code or an error. */
export type ReturnAddress = Pick<AuthorizationRequest, "redirectUri" | "state">;

export type ReadRequest =
  /** The redirect URI is not verified, so the error is shown on a page. `parameter`: the one that is wrong. */
  | { kind: "untrusted"; parameter: string; detail: string }
  | ({ kind: "fault"; client: Client; fault: RequestFault } & ReturnAddress)
  | { kind: "valid"; client: Client; request: Omit<AuthorizationRequest, "id" | "beganAtMs" | "code"> };

type Sources = { findClient: Clients["find"]; readIdTokenHint: ReadIdTokenHint };

/**
 * Reads and validates a request, except its scope and resource.
 * @param text the query, or the form
 * @throws {Problem} `database-unavailable`, `revocations-stale`
 */
export async function readRequest(text: string, { findClient, readIdTokenHint }: Sources): Promise<ReadRequest> {
  const parameters = parseParameters(text);
  if (!parameters) return untrusted("query", "is not percent-encoded UTF-8");
  const once = ["client_id", "redirect_uri"].find((name) => parameters.repeated.has(name));
  if (once !== undefined) return untrusted(once, "is sent more than once");
  const id = parameters.get("client_id");
  if (id === undefined) return untrusted("client_id", "is required");
  const client = isClientId(id) ? await findClient(clientId(id)) : undefined;
  if (!client) return untrusted("client_id", "is not a registered client");
  const redirectUri = redirectUriOf(parameters, client);
  if (redirectUri === undefined) return untrusted("redirect_uri", "is required");
  if (!isRegistered(redirectUri, client.redirectUris)) return untrusted("redirect_uri", "is not registered");

  const state = returnedState(parameters);
  const fault = findFault(parameters, client);
  if (fault) return { kind: "fault", client, fault, redirectUri, state };
  const hint = await hintOf(parameters, client, readIdTokenHint);
  if (!hint) return { kind: "fault", client, fault: wrongHint, redirectUri, state };
  const maxAge = parameters.get("max_age");
  const request = {
    clientId: client.id,
    redirectUri,
    state,
    scope: parameters.get("scope"),
    resource: parameters.get("resource"),
    codeChallenge: parameters.get("code_challenge") ?? "",
    nonce: parameters.get("nonce"),
    prompts: promptsOf(parameters) as Prompt[],
    maxAgeSeconds: maxAge === undefined ? undefined : Number(maxAge),
    loginHint: hint.username ?? loginHintOf(parameters),
    expectedUser: hint.userId,
    dpopJkt: parameters.get("dpop_jkt"),
  };
  return { kind: "valid", client, request };
}

const untrusted = (parameter: string, detail: string): ReadRequest => ({ kind: "untrusted", parameter, detail });

/** Whether a text is within the contract's bounds for a client id. Postgres stores no NUL. */
const isClientId = (text: string): boolean => /^[\x21-\x7e]{1,512}$/.test(text);

/** A client with one redirect URI need not name it (OAuth 2.1, section 4.1.1). */
function redirectUriOf(parameters: Parameters, { redirectUris }: Client): string | undefined {
  const [only, ...others] = redirectUris;
  return parameters.get("redirect_uri") ?? (others.length === 0 ? only : undefined);
}

/** Bounds the request, which is a part of URLs. */
const maxStateLength = 2_048;
const maxNonceLength = 512;
const maxHintLength = 256;
const controlCharacter = /\p{Cc}/u;

/** @returns `undefined` for a state that cannot be returned as it is */
function returnedState(parameters: Parameters): string | undefined {
  const state = parameters.get("state");
  return parameters.repeated.has("state") || (state?.length ?? 0) > maxStateLength ? undefined : state;
}

type Check = (parameters: Parameters, client: Client) => RequestFault | undefined;

const invalid = (description: string): RequestFault => ({ error: "invalid_request", description });

/** In the order in which they are applied. */
const checks: readonly Check[] = [
  requireEachOnce,
  refuseRequestObjects,
  requireCode,
  requireQueryMode,
  requireChallenge,
  requirePlainTexts,
  requirePrompt,
  requireMaxAge,
  requireThumbprint,
];

function findFault(parameters: Parameters, client: Client): RequestFault | undefined {
  for (const check of checks) {
    const fault = check(parameters, client);
    if (fault) return fault;
  }
  return undefined;
}

/** The name of an undeclared parameter is not repeated in the response. */
function requireEachOnce({ repeated }: Parameters): RequestFault | undefined {
  if (repeated.size === 1 && repeated.has("resource")) {
    return { error: "invalid_target", description: "One resource can be requested at a time." };
  }
  return repeated.size > 0 ? invalid("A parameter is sent more than once.") : undefined;
}

/** Parameters that would replace those that are validated here (OpenID Connect Core, sections 6 and 7). */
function refuseRequestObjects({ get }: Parameters): RequestFault | undefined {
  const name = ["request", "request_uri", "registration"].find((one) => get(one) !== undefined);
  return name === undefined
    ? undefined
    : { error: `${name}_not_supported`, description: `The parameter ${name} is not supported.` };
}

function requireCode({ get }: Parameters, { grantTypes }: Client): RequestFault | undefined {
  const type = get("response_type");
  if (type === undefined) return invalid("response_type is required.");
  if (type !== "code") return { error: "unsupported_response_type", description: "response_type must be code." };
  return grantTypes.includes("authorization_code")
    ? undefined
    : { error: "unauthorized_client", description: "The client is not registered for authorization codes." };
}

function requireQueryMode({ get }: Parameters): RequestFault | undefined {
  return (get("response_mode") ?? "query") === "query" ? undefined : invalid("response_mode must be query.");
}

/** The SHA-256 digest of a code verifier in base64url, without unused bits. */
const digestText = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

/** Without a challenge, or with `plain`, an attacker who sees the request and the code could redeem it (RFC 9700, section 2.1.1). */
function requireChallenge({ get }: Parameters): RequestFault | undefined {
  const challenge = get("code_challenge");
  if (challenge === undefined) return invalid("code_challenge is required (PKCE, RFC 7636).");
  if (get("code_challenge_method") !== "S256") return invalid("code_challenge_method must be S256.");
  return digestText.test(challenge) ? undefined : invalid("code_challenge is not a SHA-256 digest in base64url.");
}

function requirePlainTexts({ get }: Parameters): RequestFault | undefined {
  const isPlain = (text: string, maxLength: number) => text.length <= maxLength && !controlCharacter.test(text);
  if (!isPlain(get("state") ?? "", maxStateLength)) return invalid("state is too long, or has a control character.");
  if (!isPlain(get("nonce") ?? "", maxNonceLength)) return invalid("nonce is too long, or has a control character.");
  return undefined;
}

const promptsOf = ({ get }: Parameters): string[] => get("prompt")?.split(" ") ?? [];

function requirePrompt(parameters: Parameters): RequestFault | undefined {
  const given = promptsOf(parameters);
  if (!given.every((one) => (promptValues as readonly string[]).includes(one))) {
    return invalid(`prompt can contain ${promptValues.join(", ")}.`);
  }
  return given.includes("none") && given.length > 1 ? invalid("prompt=none excludes other values.") : undefined;
}

function requireMaxAge({ get }: Parameters): RequestFault | undefined {
  const isSeconds = /^(0|[1-9][0-9]{0,9})$/.test(get("max_age") ?? "0");
  return isSeconds ? undefined : invalid("max_age is not a number of seconds.");
}

function requireThumbprint({ get }: Parameters): RequestFault | undefined {
  const thumbprint = get("dpop_jkt");
  const isThumbprint = thumbprint === undefined || digestText.test(thumbprint);
  return isThumbprint ? undefined : invalid("dpop_jkt is not a SHA-256 thumbprint in base64url.");
}

const wrongHint = invalid("id_token_hint is not an ID token that this service has issued to the client.");

/**
 * The username is that of the token: who has a token without it must not learn it from the sign-in page.
 * @returns `undefined` if the hint is no ID token of the client
 */
async function hintOf(
  { get }: Parameters,
  client: Client,
  readIdTokenHint: ReadIdTokenHint,
): Promise<Partial<IdTokenHint> | undefined> {
  const text = get("id_token_hint");
  if (text === undefined) return {};
  const hint = await readIdTokenHint(text);
  return hint?.clientId === client.id ? hint : undefined;
}

/** It is only a hint: what cannot be a username is ignored. */
function loginHintOf({ get }: Parameters): string | undefined {
  const hint = get("login_hint");
  return hint !== undefined && hint.length <= maxHintLength && !controlCharacter.test(hint) ? hint : undefined;
}
