/** What a client asks for when it sends a user to sign out (OpenID Connect RP-Initiated Logout 1.0). */
import type { Clients } from "../clients/clients.ts";
import type { Client } from "../clients/storeTypes.ts";
import { invalidRequest } from "../problems/problems.ts";
import { parseParameters } from "./authorization/parameters.ts";
import { addToQuery } from "./authorization/redirectUri.ts";
import type { ReadIdTokenHint } from "./idTokenHints.ts";

const names = ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"] as const;

/** The parameters, as the contract names them. */
export type SignOutParameters = { [Name in (typeof names)[number]]?: string | undefined };

export type SignOutRequest = {
  client: Client | undefined;
  /** Where the user returns to, with the client's `state`. `undefined` if the user stays. */
  returnTo: string | undefined;
  /** The parameters that ask for the same without the ID token, which would be left in the history of the browser. */
  withoutHint: SignOutParameters;
};

/**
 * Reads the parameters of a query or of a form. Others are ignored: some libraries add their own.
 * @throws {Problem} `invalid-request`
 */
export function readSignOutParameters(text: string): SignOutParameters {
  const parameters = parseParameters(text);
  if (!parameters) throw wrong("query", "is not percent-encoded UTF-8");
  const repeated = names.find((name) => parameters.repeated.has(name));
  if (repeated !== undefined) throw wrong(repeated, "is sent more than once");
  return Object.fromEntries(names.map((name) => [name, parameters.get(name)]));
}

/**
 * @throws {Problem} `invalid-request` if one of the parameters is wrong. Then the user must not be redirected (sections 2 and 3);
 * `database-unavailable`, `revocations-stale`
 */
export type ReadSignOutRequest = (parameters: SignOutParameters) => Promise<SignOutRequest>;

type Parts = { clients: Pick<Clients, "find">; readIdTokenHint: ReadIdTokenHint };

export const createSignOutRequests =
  ({ clients, readIdTokenHint }: Parts): ReadSignOutRequest =>
  async ({ id_token_hint: text, client_id: id, post_logout_redirect_uri: uri, state }) => {
    if (!isReturnable(state)) throw wrong("state", "is too long, or has a control character");
    const hint = text === undefined ? undefined : await readIdTokenHint(text);
    if (text !== undefined && !hint) throw wrong("id_token_hint", "is not an ID token of this service");
    if (hint && id !== undefined && id !== hint.clientId)
      throw wrong("client_id", "is not the client of id_token_hint");
    const known = hint?.clientId ?? id;
    const client = known === undefined ? undefined : await clients.find(known);
    if (known !== undefined && !client) throw wrong(hint ? "id_token_hint" : "client_id", "is of no registered client");
    if (uri === undefined) return { client, returnTo: undefined, withoutHint: {} };
    if (!client) throw wrong("post_logout_redirect_uri", "requires id_token_hint or client_id");
    if (!client.postLogoutRedirectUris.includes(uri)) throw wrong("post_logout_redirect_uri", "is not registered");
    return {
      client,
      returnTo: state === undefined ? uri : addToQuery(uri, { state }),
      withoutHint: { client_id: client.id, post_logout_redirect_uri: uri, state },
    };
  };

/** Whether a `state` is within the contract's bounds. A browser changes line breaks in a form. */
const isReturnable = (state = ""): boolean => state.length <= 2_048 && !/\p{Cc}/u.test(state);

const wrong = (parameter: string, detail: string) => invalidRequest({ parameter, detail });
