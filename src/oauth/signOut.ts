/** What a client asks for when it sends a user to sign out (OpenID Connect RP-Initiated Logout 1.0). */
import type { Clients } from "../clients/clients.ts";
import type { Client } from "../clients/storeTypes.ts";
import { invalidRequest } from "../problems/problems.ts";
import { addToQuery } from "./authorization/redirectUri.ts";
import type { ReadIdTokenHint } from "./idTokenHints.ts";

/** The parameters, as the contract names them. */
export type SignOutParameters = {
  id_token_hint?: string | undefined;
  client_id?: string | undefined;
  post_logout_redirect_uri?: string | undefined;
  state?: string | undefined;
};

export type SignOutRequest = {
  /** `undefined` if the user came by themselves. */
  client: Client | undefined;
  /** Where the user returns to, with the client's `state`. */
  returnTo: string | undefined;
};

/**
 * @throws {Problem} `invalid-request` if one of the parameters is wrong. Then the user must not be redirected (sections 2 and 3);
 * `database-unavailable`, `revocations-stale`
 */
export type ReadSignOutRequest = (parameters: SignOutParameters) => Promise<SignOutRequest>;

type Parts = { clients: Pick<Clients, "find">; readIdTokenHint: ReadIdTokenHint };

export const createSignOutRequests =
  ({ clients, readIdTokenHint }: Parts): ReadSignOutRequest =>
  async ({ id_token_hint: text, client_id: id, post_logout_redirect_uri: uri, state }) => {
    const hint = text === undefined ? undefined : await readIdTokenHint(text);
    if (text !== undefined && !hint) throw wrong("id_token_hint", "is not an ID token of this service");
    if (hint && id !== undefined && id !== hint.clientId)
      throw wrong("client_id", "is not the client of id_token_hint");
    const known = hint?.clientId ?? id;
    const client = known === undefined ? undefined : await clients.find(known);
    if (known !== undefined && !client) throw wrong(hint ? "id_token_hint" : "client_id", "is of no registered client");
    if (uri === undefined) return { client, returnTo: undefined };
    if (!client) throw wrong("post_logout_redirect_uri", "requires id_token_hint or client_id");
    if (!client.postLogoutRedirectUris.includes(uri)) throw wrong("post_logout_redirect_uri", "is not registered");
    return { client, returnTo: state === undefined ? uri : addToQuery(uri, { state }) };
  };

const wrong = (parameter: string, detail: string) => invalidRequest({ parameter, detail });
