// Generated from openapi.yaml by `npm run generate`. Do not edit.
export interface paths {
    "/api/users": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List users
         * @description Returns users in the order of their usernames, by code point. Several filters must all match. To get all users, repeat the request with `after` set to the `next` of the previous page, until `next` is null.
         */
        get: operations["listUsers"];
        put?: never;
        /**
         * Register a user
         * @description Usernames are compared without regard to case and Unicode normalization (RFC 8265, UsernameCaseMapped). The response contains the normalized username. Requires no credentials, unless `REGISTRATION` is `closed`: credentials that are not valid, or do not have the scope, are like none. With the scope `users:write`, an administrator creates the user: the limit on registrations does not apply, and `roles` assigns roles. That requires `roles:write` as well, and every scope of these roles.
         */
        post: operations["createUser"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/users/me": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the current user
         * @description Returns the user to whom the credentials belong. The token of an OAuth client needs the scope `profile` or `account:read`, because a user who allows `openid` alone does not expect that the client learns more than the user's id.
         */
        get: operations["getCurrentUser"];
        put?: never;
        post?: never;
        /**
         * Delete the current user
         * @description Deletes the user's account. Requires the password. Revokes all tokens, sessions and API keys of the user. The username becomes available again. This cannot be undone. The last administrator cannot be deleted.
         */
        delete: operations["deleteUser"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/users/me/password": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Change the password
         * @description Revokes all tokens and sessions of the user, including this request's token, and deletes the user's API keys unless `keep_api_keys` is true. A wrong `current_password` returns a 401 `invalid-credentials`. An OAuth client cannot change the password of its user.
         */
        put: operations["changePassword"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/users/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get a user by id
         * @description Without the scope `users:read`, users can get only themselves: the id of another user returns a 404, like an unknown id. The token of an OAuth client needs the scope `profile` or `account:read` for the user's own id.
         */
        get: operations["getUser"];
        put?: never;
        post?: never;
        /**
         * Delete a user
         * @description Deletes the user's account, and revokes all tokens, sessions and API keys. The username becomes available again. This cannot be undone. The last administrator cannot be deleted. Requires every scope of the user's roles.
         */
        delete: operations["deleteUserById"];
        options?: never;
        head?: never;
        /**
         * Block a user or change the roles
         * @description Changes the members that the request contains. Blocking rejects the user's password, as if there were no such user, and ends all tokens, sessions and API keys, on every instance within a second. Unblocking accepts the password again, and restores nothing else. `roles` replaces all assigned roles, and requires the scope `roles:write` as well. No caller can assign a role with a scope that the caller does not have, or change a user who has such a role. The last administrator who is not blocked stays an administrator.
         */
        patch: operations["updateUser"];
        trace?: never;
    };
    "/api/users/{id}/password": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Set a user's password
         * @description Sets the password without the current one. Revokes all tokens and sessions of the user, deletes the API keys unless `keep_api_keys` is true, and forgets the networks from which the user signed in. A blocked user stays blocked. Requires every scope of the user's roles.
         */
        put: operations["setUserPassword"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/users/{id}/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List a user's sessions
         * @description Returns the active sessions of a user, newest first.
         */
        get: operations["listUserSessions"];
        put?: never;
        post?: never;
        /**
         * Sign a user out everywhere
         * @description Revokes every session and token of the user. The password and the API keys stay valid. Requires every scope of the user's roles.
         */
        delete: operations["endUserSessions"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/users/{id}/sessions/{session_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * End a session of a user
         * @description Ends one session of a user and revokes its tokens. Requires every scope of the user's roles.
         */
        delete: operations["endUserSession"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/users/{id}/api-keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the API keys of a user
         * @description Returns the API keys of any user, like `GET /api/api-keys`.
         */
        get: operations["listUserApiKeys"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/users/{id}/api-keys/{key_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Delete an API key of a user
         * @description Revokes an API key of any user. If the user has a scope that the user or the credential of this request does not have, the response is a 403 that names it.
         */
        delete: operations["deleteUserApiKey"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/token": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get a token
         * @description Requires the password, so that a leaked token cannot be used to get another one. The token is a signed JWT (RFC 9068) with the user's id. It expires after `duration` seconds. Its `iss` and `aud` are the setting `PUBLIC_URL` (default: `http://127.0.0.1:8080`). Its `client_id` is `latchkey`. With `audience`, the token is for that API and has its `aud`. With `scope` or another API's `audience`, the token is limited: its `scope` contains the scopes that the user has of those requested.
         */
        get: operations["issueToken"];
        put?: never;
        /**
         * Refresh a session
         * @description Returns a new access token and a new refresh token. The refresh token is the credential, and it works once. A client that lost the response, or has several tabs, may send the same refresh token again within a few seconds (`REFRESH_GRACE_SECONDS`) and gets the same new refresh token. A use after that, or from another network, is treated as theft: the service revokes the session and all its tokens. `audience` and `scope` limit the new access token further than the session is limited, and never less. They do not change the session. A request that asks for more uses no refresh token.
         */
        post: operations["refreshToken"];
        /**
         * Revoke a token
         * @description Revokes this request's token, and its session if it has one (log out). This instance rejects the token immediately, every other instance within a second.
         */
        delete: operations["revokeToken"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List your sessions
         * @description Returns the active sessions of the current user, newest first.
         */
        get: operations["listSessions"];
        put?: never;
        /**
         * Sign in
         * @description Starts a session (log in). Returns an access token, which expires soon, and a refresh token, which gets the next access token until the session is idle for too long or reaches its maximum lifetime. A user has at most `SESSIONS_PER_USER` sessions: a new one ends the oldest. Requires the password. The body is optional. It limits the session, and all its tokens, to an API or to scopes.
         */
        post: operations["createSession"];
        /**
         * Sign out everywhere
         * @description Revokes every session and token of the user, including this request's token (log out on all devices). API keys remain valid.
         */
        delete: operations["endAllSessions"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * End a session
         * @description Ends a session of the current user and revokes its tokens.
         */
        delete: operations["endSession"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/api-keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List your API keys
         * @description Returns the API keys of the current user, newest first, with the last use of each secret. The keys themselves are not returned.
         */
        get: operations["listApiKeys"];
        put?: never;
        /**
         * Create an API key
         * @description Creates a key for a program, such as a cron job. The key works like a token of the current user that is limited to its scopes, until it expires or is deleted. It cannot change the password, delete the user, or manage API keys. Each scope must be one that the user and the credential of this request have. An OAuth client cannot create a key for its user. A user has at most `API_KEYS_PER_USER` keys. This response is the only one that contains the key: the service stores a digest.
         */
        post: operations["createApiKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/api-keys/revocations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Revoke a leaked API key
         * @description Deletes the API key that the body contains, whoever owns it: for finders of a leaked key and for secret scanners. This instance rejects it immediately, every other instance within a second. The response is the same for a key that does not exist, has expired, or was deleted. A text that is not a key returns a 400.
         */
        post: operations["revokeApiKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/api-keys/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get an API key
         * @description Returns an API key of the current user, with the last use of each secret. The key itself is not returned.
         */
        get: operations["getApiKey"];
        put?: never;
        post?: never;
        /**
         * Delete an API key
         * @description Revokes an API key of the current user. This instance rejects it immediately, every other instance within a second.
         */
        delete: operations["deleteApiKey"];
        options?: never;
        head?: never;
        /**
         * Change an API key
         * @description Changes the members that the body contains. New scopes must be ones that the user and the credential of this request have. So must the key's scopes if the key is to expire later. This instance applies the change immediately, every other instance within a second.
         */
        patch: operations["updateApiKey"];
        trace?: never;
    };
    "/api/api-keys/{id}/rotations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Rotate an API key
         * @description Adds a new secret to the key: another `lk_…` with the same id, scopes and expiry. The previous secret is accepted for `overlap_seconds` more, but not after the key has expired. A key has at most two secrets: if one is already about to end, it ends at once. Each scope of the key must be one that the user and the credential of this request have. This response is the only one that contains the new secret.
         */
        post: operations["rotateApiKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/audit-events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List audit events
         * @description Returns audit events, newest first. Events are kept for `AUDIT_RETENTION_DAYS`. An event of a change is stored with the change, others within a second. To find out why a request was refused, look for its `X-Request-Id`.
         */
        get: operations["listAuditEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/revocations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow revocations
         * @description Returns the revocation list, then its new entries. Another service that verifies tokens follows the list to reject revoked ones within a second. Without `after`, the response is the first page of all entries that have not expired. Repeat the request with `after` set to `next`: at once if `has_more` is true, and with `wait` otherwise. The response to a request with `wait` is delayed until there are new entries. A cursor can be used for at least four minutes.
         */
        get: operations["listRevocations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/roles": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List roles
         * @description Returns the roles in the order of their names.
         */
        get: operations["listRoles"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/roles/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get a role
         * @description Returns a role and its scopes.
         */
        get: operations["getRole"];
        /**
         * Define a role
         * @description Creates a role, or replaces its description and its scopes. Every scope must be one of this service or of a registered API. Requires every scope that the role gets, and every scope that it had: nobody grants or changes more than they have. The change holds on this instance immediately, on every other one within a second. Every user has the role `default`.
         */
        put: operations["putRole"];
        post?: never;
        /**
         * Delete a role
         * @description Deletes a role, and takes it from all users. Requires every scope of the role. `administrator` and `default` cannot be deleted.
         */
        delete: operations["deleteRole"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/apis": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List APIs
         * @description Returns the registered APIs in the order of their audiences.
         */
        get: operations["listApis"];
        put?: never;
        /**
         * Register an API
         * @description Registers an API of another service, so that users can get tokens for it. Its scopes can be given to roles. A scope must not have the name of a scope of this service. If two APIs have a scope of the same name, a role with that scope allows it in both.
         */
        post: operations["createApi"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/apis/{audience}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get an API
         * @description Returns a registered API and its scopes.
         */
        get: operations["getApi"];
        put?: never;
        post?: never;
        /**
         * Delete an API
         * @description Ends the registration. No more tokens are issued for the API, and sessions that are limited to it cannot be refreshed. Roles keep the names of its scopes, which no longer have an effect.
         */
        delete: operations["deleteApi"];
        options?: never;
        head?: never;
        /**
         * Change an API
         * @description Changes the members that the body contains. `scopes` replaces all scopes. If it removes a scope, no new token contains that scope, and the tokens that were issued before are revoked for services that follow the revocation list.
         */
        patch: operations["updateApi"];
        trace?: never;
    };
    "/api/clients": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List clients
         * @description Returns the clients in the order of their ids, which is that of their registration.
         */
        get: operations["listClients"];
        put?: never;
        /**
         * Register a client
         * @description Registers a program that gets tokens by OAuth. A confidential client gets a secret, unless it has keys (`private_key_jwt`). Only this response contains the secret. A public client, such as an app on a phone, has none. No caller can give a client a scope that the caller does not have.
         */
        post: operations["createClient"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/clients/{client_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get a client
         * @description Returns a client, and when each of its secrets was last used.
         */
        get: operations["getClient"];
        put?: never;
        post?: never;
        /**
         * Delete a client
         * @description Deletes a client, and all that users have allowed it. Its tokens and sessions are revoked. Requires all scopes of the client.
         */
        delete: operations["deleteClient"];
        options?: never;
        head?: never;
        /**
         * Change a client
         * @description Changes the members that the body contains. A list replaces the whole list. If the client loses a scope, an audience or a grant type, its tokens are revoked. Requires all scopes of the client, before and after the change.
         */
        patch: operations["updateClient"];
        trace?: never;
    };
    "/api/clients/{client_id}/secrets": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Add a client secret
         * @description Adds a second secret, so that one can replace the other without an interruption. Both are accepted until one is deleted. Only this response contains the secret. Requires all scopes of the client.
         */
        post: operations["createClientSecret"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/clients/{client_id}/secrets/{secret_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Delete a client secret
         * @description Deletes a secret, which is no longer accepted. The tokens that the client got with it stay valid until they expire. Requires all scopes of the client.
         */
        delete: operations["deleteClientSecret"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/forward-auth": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Authorize a request at a proxy
         * @description For proxies that ask another service whether a request may pass: nginx (`auth_request`), Caddy (`forward_auth`), Traefik (`ForwardAuth`) and others. The credentials are those of the request to authorize: a password, a token or an API key. After a 204 the request may pass, and the `Latchkey-` headers say whose request it is. All of them are in every response, and are empty if there is nothing to say, so that a proxy that copies them replaces those that a client sent. With the `audience` of an API, tokens must be for that API, and the scopes are those of the API. The audience of this service is like none. Without the audience of an API and without `scope`, a token that a registered client has got for its user is not accepted. If the API has a `contract`, it decides what the request needs: the operation is that of the original method and URI, which a proxy sends in `X-Forwarded-Method` and `X-Forwarded-Uri`, or in `X-Original-Method` and `X-Original-URI` or `X-Original-URL`. They are accepted from the addresses in `TRUST_PROXY` only, and must not contradict each other. An operation that needs no credentials has a 204 with empty headers. Only such an operation needs no credentials here.
         */
        get: operations["forwardAuth"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/resource": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the protected resource
         * @description Returns a greeting for the current user.
         */
        get: operations["getResource"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/.well-known/jwks.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the public keys
         * @description Returns a JWK Set (RFC 7517) for services that verify tokens themselves. A new key is published before it signs, for longer than this response may be cached. Such services learn of revocations from `GET /api/revocations`. Otherwise they accept a revoked token until it expires.
         */
        get: operations["getJwks"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/.well-known/oauth-authorization-server": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the server metadata
         * @description Returns the authorization server metadata (RFC 8414) for OAuth clients and services that verify tokens. `issuer` and the URLs begin with the setting `PUBLIC_URL` (default: `http://127.0.0.1:8080`). If `PUBLIC_URL` has a path, clients request this document at `/.well-known/oauth-authorization-server` followed by that path (RFC 8414, section 3).
         */
        get: operations["getServerMetadata"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/.well-known/openid-configuration": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the OpenID configuration
         * @description Returns the same document as `/.well-known/oauth-authorization-server`, for clients of OpenID Connect (Discovery, section 4). If `PUBLIC_URL` has a path, clients request it below that path.
         */
        get: operations["getOpenidConfiguration"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/.well-known/oauth-protected-resource": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the metadata of an API
         * @description Returns the protected resource metadata (RFC 9728) of a registered API: where clients get a token for it, and its scopes. Clients request this document at the API itself, which passes the request on or publishes the same document. Without `resource`, it is about this service.
         */
        get: operations["getResourceMetadata"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/token": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Get tokens as a client
         * @description The token endpoint (RFC 6749, section 3.2). A client exchanges its own credentials (`client_credentials`), an authorization code (`authorization_code`, with the `code_verifier` of PKCE), a refresh token (`refresh_token`) or a device code (`urn:ietf:params:oauth:grant-type:device_code`) for an access token. `scope` and `resource` limit the token. With a code, scopes that the user has not allowed are ignored; with a refresh token, they are refused. A confidential client authenticates with its secret, in the `Authorization` header or in the body, or with an assertion. A public client sends `client_id` alone. A code and a refresh token work once. If a code is used again, the session that it started is revoked. With a proof in the header `DPoP`, the access token is bound to the key of the proof, and so is the refresh token of a public client (RFC 9449).
         */
        post: operations["issueOAuthTokens"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/device-authorization": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Start the authorization of a device
         * @description Begins the device flow (RFC 8628), for programs without a browser. The program shows `verification_uri` and `user_code`. Meanwhile it sends `device_code` to `POST /oauth/token` every `interval` seconds, with the grant type `urn:ietf:params:oauth:grant-type:device_code`, until the user has decided. A confidential client authenticates with its secret, in the `Authorization` header or in the body, or with an assertion. A public client sends `client_id` alone. The number of requests from a network is limited by `THROTTLE_ADDRESS`.
         */
        post: operations["startDeviceAuthorization"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/userinfo": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the user of an access token
         * @description Returns the claims about the user that the scopes of the token allow (OpenID Connect Core, section 5.3): `sub` with `openid`, which is required, and `preferred_username` with `profile`.
         */
        get: operations["getUserinfo"];
        put?: never;
        /**
         * Get the user of an access token, by POST
         * @description Returns the same as `GET`. The token must be in the `Authorization` header. A body is ignored: OAuth 2.1 discourages tokens in bodies.
         */
        post: operations["postUserinfo"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/introspect": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Verify a token
         * @description Tells a service whether an access token of any audience, an API key or a refresh token is valid now, and whose it is (RFC 7662). For every other text, the response is `{"active": false}` and nothing else. It does not use a refresh token. A standard OAuth client authenticates with `client_secret_basic`, with an API key as its `client_id` or its `client_secret`, and any value for the other one. A registered client authenticates as at `POST /oauth/token`, and needs the scope `tokens:introspect`. The service does not add audit events for tokens that are not valid.
         */
        post: operations["introspectToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/register": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Register this program as a client
         * @description Dynamic registration (RFC 7591), if `CLIENT_REGISTRATION` is on. Otherwise it returns a 404. Unknown members are ignored. Such a client never acts without a user, and users are asked for their consent. Scopes and grant types that it cannot have are left out. Without `token_endpoint_auth_method`, the client gets a secret. Only this response contains it.
         */
        post: operations["registerClient"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/revoke": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Revoke a token by its value
         * @description Revokes an access token, a refresh token or an API key (RFC 7009). Revoking a token of a session also ends the session and revokes its other tokens. This instance rejects them immediately, every other instance within a second. The token is the only credential that is required. If a registered client authenticates as at `POST /oauth/token`, only its own tokens are revoked. The response is the same for a text that is not a valid token, and for a token of another client.
         */
        post: operations["revokeOAuthToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/authorize": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Ask a user for authorization
         * @description A client sends the user's browser here, to get an authorization code (OAuth 2.1, section 4.1; OpenID Connect Core, section 3.1.2). PKCE with `S256` is required. The browser continues at a page where the user signs in or decides, or returns to the client at once. It returns to `redirect_uri` with `code`, or with `error` and `error_description`, and with `state` and `iss` (RFC 9207). If the client is unknown or the redirect URI is not registered, the response is an error page. Until the user has decided, errors of a client that registered itself are shown on a page as well, unless it returns to a loopback address or a private-use scheme. Each parameter may occur once. Unknown parameters are ignored. `request`, `request_uri` and `registration` are refused.
         */
        get: operations["authorize"];
        put?: never;
        /**
         * Ask a user for authorization by a form
         * @description Like `GET /oauth/authorize`, for clients that send the browser here with a form. A page of any origin may do so, because it changes nothing: the browser continues with the GET.
         */
        post: operations["submitAuthorizationRequest"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/authorizations/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get what a client asks for
         * @description For a page of your own that replaces the pages of this service (`AUTHORIZATION_PAGE_URL`). `GET /oauth/authorize` sends the browser to that page with `authorization_id`. The first user who gets the request here is the only one who can decide. It expires after ten minutes. If the client requires a sign-in that is more recent than that of the credentials, the response is a 403 `login-required`: get the request again with the password, or with a new token that was issued for the password.
         */
        get: operations["getAuthorization"];
        put?: never;
        /**
         * Allow or deny what a client asks for
         * @description Decides about what `GET /api/authorizations/{id}` has returned to the same user. A request is decided once: of concurrent different decisions, one succeeds. The same decision may be repeated until the client has used the code. Send the browser to `redirect_uri`. Credentials that are limited to scopes cannot allow others.
         */
        post: operations["decideAuthorization"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/grants": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List what clients are allowed
         * @description Returns what the current user has allowed clients, newest first.
         */
        get: operations["listGrants"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/grants/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Withdraw what a client is allowed
         * @description Ends the sessions of the client for this user and audience, and revokes their tokens and codes. This instance rejects them immediately, every other instance within a second. The client has to ask again.
         */
        delete: operations["deleteGrant"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/sign-in": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the sign-in page
         * @description A page for browsers, without scripts. `GET /oauth/authorize` and the device page redirect to it. A user who is already signed in sees it too, so that another user can sign in.
         */
        get: operations["getSignInPage"];
        put?: never;
        /**
         * Sign in with a form
         * @description Starts a session of the browser, with a new cookie, and ends its previous one. Then continues with the authorization request, or with the device. A wrong password returns the form again, with a 400: for a 401, browsers open a dialog.
         */
        post: operations["signIn"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/sign-up": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the registration page
         * @description A page for browsers, without scripts. Returns a 404 unless `PAGES_REGISTRATION` is on.
         */
        get: operations["getSignUpPage"];
        put?: never;
        /**
         * Register with a form
         * @description Registers a user as `POST /api/users` does, and signs in. A name that is taken and a password that is not accepted return the form again, with a 400. Returns a 404 unless `PAGES_REGISTRATION` is on.
         */
        post: operations["signUp"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/consent": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the consent page
         * @description Shows what a client asks for, to the user who is signed in. Redirects to the sign-in page without such a user, and to the client if the user need not be asked.
         */
        get: operations["getConsentPage"];
        put?: never;
        /**
         * Allow or deny a client
         * @description Decides about an authorization request, once, and redirects to the client: with a code, or with the error `access_denied`. Without a session, redirects to the sign-in page.
         */
        post: operations["decideConsent"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/device": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the page for device codes
         * @description Asks the user for the code that a device shows (RFC 8628, section 3.3). A code in the link is only filled in, because an attacker may have sent the link. Redirects to the sign-in page without a session.
         */
        get: operations["getDevicePage"];
        put?: never;
        /**
         * Look up, allow or deny a device
         * @description Without `decision`, shows what the device asks for. With it, allows or denies that, once, as the user of the browser's session. A wrong code returns the form again, with a 400. Wrong codes are limited for each network (`THROTTLE_ADDRESS`) and each user (`THROTTLE_ACCOUNT`). Redirects to the sign-in page without a session.
         */
        post: operations["decideDevice"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/sign-out": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the sign-out page
         * @description The `end_session_endpoint` of OpenID Connect (RP-Initiated Logout, section 2). The page asks whether to end the browser's session, because any site can link to it. If there is no session, the user returns to `post_logout_redirect_uri`. If the client has registered itself, the user returns only to a loopback address or a private-use scheme. Otherwise, the page says that the user is signed out. If a parameter is wrong, the response is a page, and the user is not redirected. Each parameter may occur once. Unknown parameters are ignored.
         */
        get: operations["getSignOutPage"];
        put?: never;
        /**
         * Ask a user to sign out by a form
         * @description Like `GET /oauth/sign-out`, for clients that send the browser here with a form. A page of any origin may do so, because it changes nothing: the browser continues with the GET, without the ID token.
         */
        post: operations["submitSignOutRequest"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/sign-out-confirmation": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Sign out with a form
         * @description The form of the sign-out page. Ends the session of the browser and deletes its cookie.
         */
        post: operations["signOut"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/livez": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Check liveness
         * @description Checks only that the process responds. If it does not, restart the process.
         */
        get: operations["getLiveness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Check readiness
         * @description Checks that the database responds, that its schema has every migration that this version needs, and that it accepts writes. Returns a 503 as soon as the instance receives a signal to stop, while it still serves requests.
         */
        get: operations["getReadiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the index of the service
         * @description Returns links to the documentation and to the main paths, as HTML for browsers and as JSON for programs.
         */
        get: operations["getIndex"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the index of the API
         * @description Returns the same index as `/`.
         */
        get: operations["getApiIndex"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/docs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get this documentation
         * @description Returns the guide and the reference as one page that works offline.
         */
        get: operations["getDocs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.yaml": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the contract as YAML
         * @description Returns the OpenAPI document from which this service derives its routes and validation.
         */
        get: operations["getOpenapiYaml"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the contract as JSON
         * @description Returns the same contract as JSON.
         */
        get: operations["getOpenapiJson"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/problems/{slug}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get a problem page
         * @description Explains a problem and how to fix it. The `type` of every problem is the address of this page.
         */
        get: operations["getProblem"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description The user to register. */
        NewUser: {
            /**
             * @description 1 to 64 code points after normalization, without colons, spaces and control characters (RFC 8265, UsernameCaseMapped, with Unicode 15.0). An email address is a valid username.
             * @example miguel
             */
            username: string;
            password: components["schemas"]["NewPassword"];
            roles?: components["schemas"]["AssignedRoles"];
        };
        /**
         * @description The names of the roles, without `default`, which every user has.
         * @example [
         *       "administrator"
         *     ]
         */
        AssignedRoles: components["schemas"]["RoleName"][];
        /** @description What to change. */
        UserChange: {
            /**
             * @description Whether the user is blocked.
             * @example true
             */
            blocked?: boolean;
            roles?: components["schemas"]["AssignedRoles"];
        };
        /** @description The new password. */
        PasswordReplacement: {
            new_password: components["schemas"]["NewPassword"];
            /**
             * @description Whether the user's API keys remain valid. By default, they are deleted.
             * @example false
             */
            keep_api_keys?: boolean;
        };
        /**
         * Format: password
         * @description 15 (`PASSWORD_MIN_LENGTH`) to 128 code points after normalization (RFC 8265, OpaqueString). It must not be easy to guess or contain the username. There are no composition rules: three or four unrelated words are a good password.
         * @example correct horse battery
         */
        NewPassword: string;
        /** @description The current and the new password. */
        PasswordChange: {
            /**
             * Format: password
             * @description The current password.
             * @example correct horse battery
             */
            current_password: string;
            new_password: components["schemas"]["NewPassword"];
            /**
             * @description Whether the user's API keys remain valid. By default, they are deleted: someone who knows the old password may have created one.
             * @example false
             */
            keep_api_keys?: boolean;
        };
        /** @description A registered user. */
        User: {
            /**
             * Format: uuid
             * @description A UUIDv7.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            id: string;
            /**
             * @description The normalized username, in lower case.
             * @example miguel
             */
            username: string;
            /**
             * Format: date-time
             * @description When the user registered.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            /**
             * @description Whether the user's credentials are rejected.
             * @example false
             */
            blocked: boolean;
            roles: components["schemas"]["AssignedRoles"];
        };
        /** @description A page of users. */
        UserPage: {
            /** @description The users, in the order of their usernames. */
            users: components["schemas"]["User"][];
            /**
             * @description The `after` of the next page, or null if this is the last page.
             * @example null
             */
            next: string | null;
        };
        /** @description A page of sessions. */
        UserSessionPage: {
            /** @description The sessions, newest first. */
            sessions: components["schemas"]["Session"][];
            /**
             * Format: uuid
             * @description The `after` of the next page, or null if this is the last page.
             * @example null
             */
            next: string | null;
        };
        /** @description A token and its lifetime. */
        Token: {
            /**
             * @description A signed JWT (RFC 9068). Clients should treat it as an opaque string.
             * @example eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6IjEifQ.eyJzdWIiOiIxIn0.c2lnbmF0dXJl
             */
            token: string;
            /**
             * @description Seconds until the token expires.
             * @example 600
             */
            duration: number;
            /**
             * @description The scopes that the token is limited to, those that the user does not have left out. Empty if none is left. Absent if the token is not limited.
             * @example orders:read
             */
            scope?: string;
        };
        /** @description The refresh token to use, and what the new access token is limited to. */
        Refresh: {
            refresh_token: components["schemas"]["RefreshToken"];
            audience?: components["schemas"]["Audience"];
            scope?: components["schemas"]["ScopeList"];
        };
        /**
         * Format: password
         * @description An opaque string that works once.
         * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.AAAAAG9uZSByZWZyZXNoIHRva2VuLCBhbmQgbm90IGEgcmVhbA
         */
        RefreshToken: string;
        /** @description The tokens of a session, with the member names of OAuth 2.0 (RFC 6749, section 5.1). */
        SessionTokens: {
            /**
             * Format: uuid
             * @description The session's id.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            id: string;
            /**
             * @description The access token, to be sent as `Bearer`.
             * @example eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6IjEifQ.eyJzdWIiOiIxIn0.c2lnbmF0dXJl
             */
            access_token: string;
            /**
             * @description Always `Bearer`.
             * @example Bearer
             * @constant
             */
            token_type: "Bearer";
            /**
             * @description Seconds until the access token expires.
             * @example 600
             */
            expires_in: number;
            /**
             * @description The scopes that the access token is limited to, those that the user does not have left out. Empty if none is left. Absent if the token is not limited.
             * @example orders:read
             */
            scope?: string;
            refresh_token: components["schemas"]["RefreshToken"];
            /**
             * @description Seconds until the session ends unless it is refreshed.
             * @example 1209600
             */
            refresh_expires_in: number;
        };
        /** @description A page of sessions. */
        SessionPage: {
            /** @description The sessions, newest first. */
            sessions: components["schemas"]["Session"][];
            /**
             * Format: uuid
             * @description The `cursor` of the next page, or null if this is the last page.
             * @example null
             */
            next_cursor: string | null;
        };
        /** @description An active session. */
        Session: {
            /**
             * Format: uuid
             * @description The session's id.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            id: string;
            /**
             * Format: date-time
             * @description When the session started.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When the session was last refreshed, rounded to the hour. A refresh appears here after its hour has ended, so that polling does not reveal when a refresh token is used.
             * @example 2026-11-23T12:00:00.000Z
             */
            last_used_at: string;
            /**
             * Format: date-time
             * @description When the session ends unless it is refreshed. Rounded to the hour, like `last_used_at`.
             * @example 2026-12-07T13:00:00.000Z
             */
            expires_at: string;
            /**
             * @description The `User-Agent` of the request that started the session.
             * @example curl/8.5.0
             */
            user_agent: string | null;
            /**
             * @description The client address of the last refresh, or of the sign-in.
             * @example 192.0.2.7
             */
            address: string | null;
            /**
             * @description The API that the session is limited to. Null if it is not limited.
             * @example null
             */
            audience: string | null;
            /**
             * @description The scopes that the session is limited to, separated by spaces. Null if it is not limited.
             * @example null
             */
            scope: string | null;
            /**
             * @description The registered client that the user has allowed to act. Null for the user's own session.
             * @example null
             */
            client_id: string | null;
            /**
             * @description Whether this request's token belongs to this session.
             * @example true
             */
            current: boolean;
        };
        /**
         * @description The name of a scope: printable ASCII characters without space, quotation mark and backslash (RFC 6749, section 3.3).
         * @example orders:read
         */
        ScopeName: string;
        /**
         * @description Scopes, separated by single spaces (RFC 6749, section 3.3). Their order has no meaning.
         * @example orders:read
         */
        ScopeList: string;
        /**
         * @description Identifies an API: the `aud` of its tokens. A URI without a fragment (RFC 8707), or a plain identifier such as `orders`.
         * @example https://orders.example/v1
         */
        Audience: string;
        /** @description What the session is limited to. `scope` without `audience` contains scopes of this service. Without both, the session is not limited: its tokens are for this service, and a refresh can name any API. */
        SessionRequest: {
            audience?: components["schemas"]["Audience"];
            scope?: components["schemas"]["ScopeList"];
        };
        /**
         * @description The id of a client. Either given at its registration, or the URL of a document about the client.
         * @example lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b
         */
        ClientId: string;
        /**
         * @description A name for people. It needs a visible character. Control characters, invisible characters and those that change the direction of text are refused. Joiners and variation selectors are allowed where a script or an emoji needs them.
         * @example Nightly report
         */
        ClientName: string;
        /**
         * @description How the client authenticates (RFC 7591, section 2). `none`: a public client. `client_secret_basic` also allows the secret in the body. `private_key_jwt` requires `jwks` or `jwks_uri`.
         * @example client_secret_basic
         * @enum {string}
         */
        ClientAuthenticationMethod: "none" | "client_secret_basic" | "private_key_jwt";
        /**
         * @description How the client gets tokens. `client_credentials`: for itself, which a public client cannot. `authorization_code` requires a redirect URI. `refresh_token` requires `authorization_code` or the device code.
         * @example [
         *       "client_credentials"
         *     ]
         */
        GrantTypes: ("authorization_code" | "client_credentials" | "refresh_token" | "urn:ietf:params:oauth:grant-type:device_code")[];
        /**
         * @description Where a browser may be sent with the result of an authorization. Compared exactly, except for the port of `http://127.0.0.1` and `http://[::1]`. Either `https`, or `http` for a loopback address, or a private-use scheme with a dot (RFC 8252, section 7.1). Without a fragment, user information and wildcards.
         * @example [
         *       "https://app.example/callback"
         *     ]
         */
        RedirectUris: components["schemas"]["RedirectUri"][];
        /**
         * @description Where a browser may be sent after the user signed out. As `redirect_uris`.
         * @example [
         *       "https://app.example/"
         *     ]
         */
        PostLogoutRedirectUris: components["schemas"]["RedirectUri"][];
        /**
         * @description A URI in printable ASCII characters.
         * @example https://app.example/callback
         */
        RedirectUri: string;
        /**
         * @description The scopes that the client may ask for, each once. Of this service, or of an API.
         * @example [
         *       "users:read"
         *     ]
         */
        ClientScopes: components["schemas"]["ScopeName"][];
        /**
         * @description The registered APIs that the client may get tokens for, besides this service.
         * @example [
         *       "https://orders.example/v1"
         *     ]
         */
        ClientAudiences: components["schemas"]["Audience"][];
        /**
         * @description An `https` URL that is shown to users.
         * @example https://app.example/about
         */
        ClientLink: string | null;
        /**
         * @description An `https` URL of the client's public keys, for `private_key_jwt`.
         * @example null
         */
        ClientKeysUri: string | null;
        /**
         * @description The client's public keys, for `private_key_jwt` (RFC 7517).
         * @example null
         */
        ClientKeys: {
            /** @description The keys. `kid` is required if several keys have the same algorithm. */
            keys: components["schemas"]["ClientKey"][];
        } | null;
        /** @description A public key for `ES256`, `Ed25519`, `RS256` or `PS256`. A private key is rejected. */
        ClientKey: {
            /**
             * @description Key type.
             * @example EC
             * @enum {string}
             */
            kty: "EC" | "OKP" | "RSA";
            /**
             * @description The signature algorithm. By default those of the key type. `EdDSA` is the older name of `Ed25519` (RFC 9864).
             * @example ES256
             * @enum {string}
             */
            alg?: "ES256" | "Ed25519" | "EdDSA" | "RS256" | "PS256";
            /**
             * @description The use of the key.
             * @example sig
             * @constant
             */
            use?: "sig";
            /**
             * @description The key's id.
             * @example report-2026
             */
            kid?: string;
            /**
             * @description What the key may be used for.
             * @example [
             *       "verify"
             *     ]
             */
            key_ops?: "verify"[];
            /**
             * @description Written by browsers. Has no effect.
             * @example true
             */
            ext?: boolean;
            /**
             * @description The curve.
             * @example P-256
             * @enum {string}
             */
            crv?: "P-256" | "Ed25519";
            /**
             * @description The x coordinate or the public key.
             * @example MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4
             */
            x?: string;
            /**
             * @description The y coordinate.
             * @example 4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM
             */
            y?: string;
            /**
             * @description The modulus. At least 2048 bits.
             * @example w36nfJr2a_GL_Ry-dP_b49Pxu47_UE1x4n7E-EPwBJsHwRVGVmZEOuKBnS66oV0WtDK1ewwmf7NIZHGMcU8erz72J7o6bxSGNKY1QG1W-anqnTvYSCpZs2uqPUUnnaXAknLkA8ks-Xcwf1pZeLbhfju2hMRnV8uZKuw1wb_cwefPdGhM8nJkGR5v7XXV4N-TYVkKRZBYOmn-l3rOyFn66fBMlnc2XXLlG2XsP5mtEawaXtAFmNlA_ZI7RBKW2ZLnaThVbevIWat1bPvt8Q1R9DU2tIRR0JnlS5WNrEAQvspGaw-R7oaTTP8N3tXX0S-4jVcGkB11RmZ4h5tN7rBrew
             */
            n?: string;
            /**
             * @description The exponent.
             * @example AQAB
             */
            e?: string;
        };
        /** @description The client to register. */
        NewClient: {
            name: components["schemas"]["ClientName"];
            /**
             * @description Whether the client cannot keep a secret, such as an app on a phone or a script in a browser.
             * @example false
             */
            public?: boolean;
            token_endpoint_auth_method?: components["schemas"]["ClientAuthenticationMethod"];
            grant_types: components["schemas"]["GrantTypes"];
            redirect_uris?: components["schemas"]["RedirectUris"];
            post_logout_redirect_uris?: components["schemas"]["PostLogoutRedirectUris"];
            scopes?: components["schemas"]["ClientScopes"];
            audiences?: components["schemas"]["ClientAudiences"];
            /**
             * @description Whether users are not asked for their consent. For your own programs only.
             * @example false
             */
            first_party?: boolean;
            jwks?: components["schemas"]["ClientKeys"];
            jwks_uri?: components["schemas"]["ClientKeysUri"];
            logo_uri?: components["schemas"]["ClientLink"];
            client_uri?: components["schemas"]["ClientLink"];
            policy_uri?: components["schemas"]["ClientLink"];
            tos_uri?: components["schemas"]["ClientLink"];
        };
        /** @description What to change. Whether the client is public, and how it authenticates, cannot be changed. */
        ClientChange: {
            name?: components["schemas"]["ClientName"];
            grant_types?: components["schemas"]["GrantTypes"];
            redirect_uris?: components["schemas"]["RedirectUris"];
            post_logout_redirect_uris?: components["schemas"]["PostLogoutRedirectUris"];
            scopes?: components["schemas"]["ClientScopes"];
            audiences?: components["schemas"]["ClientAudiences"];
            /**
             * @description Whether users are not asked for their consent. For your own programs only.
             * @example false
             */
            first_party?: boolean;
            jwks?: components["schemas"]["ClientKeys"];
            jwks_uri?: components["schemas"]["ClientKeysUri"];
            logo_uri?: components["schemas"]["ClientLink"];
            client_uri?: components["schemas"]["ClientLink"];
            policy_uri?: components["schemas"]["ClientLink"];
            tos_uri?: components["schemas"]["ClientLink"];
        };
        /** @description A program that gets tokens by OAuth. */
        Client: {
            client_id: components["schemas"]["ClientId"];
            name: components["schemas"]["ClientName"];
            /**
             * @description Whether the client cannot keep a secret, such as an app on a phone or a script in a browser.
             * @example false
             */
            public: boolean;
            token_endpoint_auth_method: components["schemas"]["ClientAuthenticationMethod"];
            grant_types: components["schemas"]["GrantTypes"];
            /**
             * @description How the client was registered: by an administrator, or by itself (`dynamic`, RFC 7591). A client with `metadata-document` is not registered: its id is the URL of a document about it.
             * @example administrator
             * @enum {string}
             */
            registration: "administrator" | "dynamic" | "metadata-document";
            redirect_uris: components["schemas"]["RedirectUris"];
            post_logout_redirect_uris: components["schemas"]["PostLogoutRedirectUris"];
            scopes: components["schemas"]["ClientScopes"];
            audiences: components["schemas"]["ClientAudiences"];
            /**
             * @description Whether users are not asked for their consent. For your own programs only.
             * @example false
             */
            first_party: boolean;
            jwks: components["schemas"]["ClientKeys"];
            jwks_uri: components["schemas"]["ClientKeysUri"];
            logo_uri: components["schemas"]["ClientLink"];
            client_uri: components["schemas"]["ClientLink"];
            policy_uri: components["schemas"]["ClientLink"];
            tos_uri: components["schemas"]["ClientLink"];
            /** @description The secrets with which the client is accepted, the newest first. */
            secrets: components["schemas"]["ClientSecret"][];
            /**
             * Format: date-time
             * @description When the client was registered.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When the client was last changed.
             * @example 2026-11-23T09:30:00.000Z
             */
            updated_at: string;
        };
        /** @description A new client, with its secret, which no other response contains. */
        CreatedClient: {
            client_id: components["schemas"]["ClientId"];
            client_secret?: components["schemas"]["ClientSecretText"];
            name: components["schemas"]["ClientName"];
            /**
             * @description Whether the client cannot keep a secret, such as an app on a phone or a script in a browser.
             * @example false
             */
            public: boolean;
            token_endpoint_auth_method: components["schemas"]["ClientAuthenticationMethod"];
            grant_types: components["schemas"]["GrantTypes"];
            /**
             * @description How the client was registered: by an administrator, or by itself (`dynamic`, RFC 7591). A client with `metadata-document` is not registered: its id is the URL of a document about it.
             * @example administrator
             * @enum {string}
             */
            registration: "administrator" | "dynamic" | "metadata-document";
            redirect_uris: components["schemas"]["RedirectUris"];
            post_logout_redirect_uris: components["schemas"]["PostLogoutRedirectUris"];
            scopes: components["schemas"]["ClientScopes"];
            audiences: components["schemas"]["ClientAudiences"];
            /**
             * @description Whether users are not asked for their consent. For your own programs only.
             * @example false
             */
            first_party: boolean;
            jwks: components["schemas"]["ClientKeys"];
            jwks_uri: components["schemas"]["ClientKeysUri"];
            logo_uri: components["schemas"]["ClientLink"];
            client_uri: components["schemas"]["ClientLink"];
            policy_uri: components["schemas"]["ClientLink"];
            tos_uri: components["schemas"]["ClientLink"];
            /** @description The secrets with which the client is accepted, the newest first. */
            secrets: components["schemas"]["ClientSecret"][];
            /**
             * Format: date-time
             * @description When the client was registered.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When the client was last changed.
             * @example 2026-11-23T09:30:00.000Z
             */
            updated_at: string;
        };
        /** @description What a program says about itself (RFC 7591, section 2). Other members are ignored. */
        ClientMetadata: {
            /**
             * @description A name for people, with the characters of `ClientName`.
             * @example Orders
             */
            client_name?: string;
            redirect_uris?: components["schemas"]["RedirectUris"];
        } & {
            [key: string]: unknown;
        };
        /** @description A client that registered itself (RFC 7591, section 3.2.1). What it does not have is absent. */
        ClientRegistration: {
            client_id: components["schemas"]["ClientId"];
            /**
             * @description When the client was registered. Seconds since 1970.
             * @example 1795426200
             */
            client_id_issued_at: number;
            client_secret?: components["schemas"]["ClientSecretText"];
            /**
             * @description The secret does not expire.
             * @example 0
             * @constant
             */
            client_secret_expires_at?: 0;
            client_name: components["schemas"]["ClientName"];
            redirect_uris: components["schemas"]["RedirectUris"];
            post_logout_redirect_uris: components["schemas"]["PostLogoutRedirectUris"];
            grant_types: components["schemas"]["GrantTypes"];
            /**
             * @description What the authorization endpoint may return.
             * @example [
             *       "code"
             *     ]
             */
            response_types: "code"[];
            token_endpoint_auth_method: components["schemas"]["ClientAuthenticationMethod"];
            scope: components["schemas"]["ScopeList"];
            jwks?: components["schemas"]["ClientKeys"];
            jwks_uri?: components["schemas"]["ClientKeysUri"];
            logo_uri?: components["schemas"]["ClientLink"];
            client_uri?: components["schemas"]["ClientLink"];
            policy_uri?: components["schemas"]["ClientLink"];
            tos_uri?: components["schemas"]["ClientLink"];
        };
        /**
         * @description The secret of a client, `lks_` and 49 characters. Its last six are a checksum, so that secret scanners recognize it.
         * @example lks_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2uwvvG
         */
        ClientSecretText: string;
        /** @description A secret of a client. */
        ClientSecret: {
            /**
             * Format: uuid
             * @description The secret's id.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3c
             */
            id: string;
            /**
             * @description The last four characters of the secret.
             * @example wvvG
             */
            last_four: string;
            /**
             * Format: date-time
             * @description When the secret was created.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When the secret was last accepted, to the minute. It appears here up to two minutes later. Null if it was never used.
             * @example 2026-11-23T12:00:00.000Z
             */
            last_used_at: string | null;
            /**
             * @description The network of that use. An IPv4 address, or the /64 network of an IPv6 address.
             * @example 192.0.2.7
             */
            last_used_network: string | null;
        };
        /** @description A new secret, which no other response contains. */
        CreatedClientSecret: {
            /**
             * Format: uuid
             * @description The secret's id.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3c
             */
            id: string;
            client_secret: components["schemas"]["ClientSecretText"];
            /**
             * @description The last four characters of the secret.
             * @example wvvG
             */
            last_four: string;
            /**
             * Format: date-time
             * @description When the secret was created.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When the secret was last accepted, to the minute. It appears here up to two minutes later. Null if it was never used.
             * @example 2026-11-23T12:00:00.000Z
             */
            last_used_at: string | null;
            /**
             * @description The network of that use. An IPv4 address, or the /64 network of an IPv6 address.
             * @example 192.0.2.7
             */
            last_used_network: string | null;
        };
        /** @description A page of clients. */
        ClientPage: {
            /** @description The clients. */
            clients: components["schemas"]["Client"][];
            /**
             * @description The value of `after` for the next page. Null if this page is the last.
             * @example null
             */
            next: string | null;
        };
        /**
         * @description The name of a role.
         * @example support
         */
        RoleName: string;
        /** @description A role without its name. */
        RoleDefinition: {
            /**
             * @description What the role is for. By default empty.
             * @example Sees users and audit events.
             */
            description?: string;
            /**
             * @description The scopes of the role, each once.
             * @example [
             *       "orders:read",
             *       "orders:write"
             *     ]
             */
            scopes: components["schemas"]["ScopeName"][];
        };
        /** @description A named set of scopes. */
        Role: {
            name: components["schemas"]["RoleName"];
            /**
             * @description What the role is for.
             * @example Sees users and audit events.
             */
            description: string;
            /**
             * @description The scopes of the role. Empty for `administrator`, which has every scope.
             * @example [
             *       "orders:read",
             *       "orders:write"
             *     ]
             */
            scopes: components["schemas"]["ScopeName"][];
            /**
             * @description Whether the role cannot be deleted.
             * @example false
             */
            built_in: boolean;
            /**
             * Format: date-time
             * @description When the role was created.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When the role was last changed.
             * @example 2026-11-23T09:30:00.000Z
             */
            updated_at: string;
        };
        /** @description A page of roles. */
        RolePage: {
            /** @description The roles, in the order of their names. */
            roles: components["schemas"]["Role"][];
            /**
             * @description The `after` of the next page, or null if this is the last page.
             * @example null
             */
            next: string | null;
        };
        /** @description A scope of an API. */
        ApiScope: {
            name: components["schemas"]["ScopeName"];
            /**
             * @description What the scope allows.
             * @example See orders.
             */
            description: string;
        };
        /** @description The scopes of an API. Each name occurs once. */
        ApiScopes: components["schemas"]["ApiScope"][];
        /**
         * @description Seconds until a token for the API expires. At most `TOKEN_TTL_SECONDS`, which is also the default: a greater value has the effect of `TOKEN_TTL_SECONDS`.
         * @example 300
         */
        TokenLifetime: number | null;
        /**
         * @description The API's own OpenAPI document, version 3.0 or 3.1, as an object or as text in YAML or JSON. With it, `GET /api/forward-auth` enforces the `security` of its operations. Each operation needs a `security`, its own or that of the document, whose scopes are scopes of this API. References to other files are not followed. Text must be parsed within five seconds, and one at a time: meanwhile, other texts get a 503.
         * @example openapi: 3.1.0
         *     paths:
         *       /orders: { get: { security: [{ token: ['orders:read'] }] } }
         *     components:
         *       securitySchemes: { token: { type: http, scheme: bearer } }
         */
        ApiContract: {
            [key: string]: unknown;
        } | string;
        /** @description The API to register. */
        NewApi: {
            audience: components["schemas"]["Audience"];
            /**
             * @description A name for people, with the characters of `ClientName`.
             * @example Orders
             */
            name: string;
            scopes: components["schemas"]["ApiScopes"];
            token_lifetime_seconds?: components["schemas"]["TokenLifetime"];
            contract?: components["schemas"]["ApiContract"];
        };
        /** @description The members to change. */
        ApiChange: {
            /**
             * @description A name for people, with the characters of `ClientName`.
             * @example Orders
             */
            name?: string;
            scopes?: components["schemas"]["ApiScopes"];
            token_lifetime_seconds?: components["schemas"]["TokenLifetime"];
            /**
             * @description Replaces the contract, or removes it with `null`.
             * @example null
             */
            contract?: components["schemas"]["ApiContract"] | null;
        };
        /** @description A registered API. */
        Api: {
            audience: components["schemas"]["Audience"];
            /**
             * @description A name for people.
             * @example Orders
             */
            name: string;
            scopes: components["schemas"]["ApiScopes"];
            token_lifetime_seconds: components["schemas"]["TokenLifetime"];
            /**
             * @description Whether forward-auth enforces a contract.
             * @example false
             */
            has_contract: boolean;
            /**
             * Format: date-time
             * @description When the API was registered.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When the API was last changed.
             * @example 2026-11-23T09:30:00.000Z
             */
            updated_at: string;
        };
        /** @description A page of APIs. */
        ApiPage: {
            /** @description The APIs, in the order of their audiences. */
            apis: components["schemas"]["Api"][];
            /**
             * @description The `after` of the next page, or null if this is the last page.
             * @example null
             */
            next: string | null;
        };
        /** @description The API key to create. */
        NewApiKey: {
            name: components["schemas"]["ApiKeyName"];
            scopes: components["schemas"]["ApiKeyScopes"];
            expires_at?: components["schemas"]["ApiKeyExpiry"];
        };
        /** @description The members of an API key to change. */
        ApiKeyChange: {
            name?: components["schemas"]["ApiKeyName"];
            scopes?: components["schemas"]["ApiKeyScopes"];
            expires_at?: components["schemas"]["ApiKeyExpiry"];
        };
        /** @description How to rotate an API key. */
        ApiKeyRotation: {
            /**
             * @description Seconds for which the previous secret is still accepted. 0 ends it at once.
             * @example 3600
             */
            overlap_seconds: number;
        };
        /** @description The API key to revoke. */
        ApiKeyRevocation: {
            key: components["schemas"]["ApiKeyText"];
        };
        /**
         * @description A name that tells the keys of a user apart. It need not be unique. It has the characters of `ClientName`.
         * @example nightly backup
         */
        ApiKeyName: string;
        /** @description The scopes to which the key is limited: those of this service or of a registered API. A key without scopes is accepted by operations that require none, such as `GET /api/resource`. */
        ApiKeyScopes: components["schemas"]["ScopeName"][];
        /**
         * Format: date-time
         * @description When the key expires. If it is null, the key does not expire. That is the default.
         * @example 2027-11-23T09:30:00.000Z
         */
        ApiKeyExpiry: string | null;
        /**
         * Format: password
         * @description The key: `lk_`, 43 base62 digits (256 random bits) and 6 base62 digits (the CRC-32 of the 46 characters before them). The digits are `0`-`9`, `A`-`Z`, `a`-`z`, the most significant first.
         * @example lk_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf3TQtQq
         */
        ApiKeyText: string;
        /** @description An API key, without the key itself. */
        ApiKey: {
            /**
             * Format: uuid
             * @description The key's id, a UUIDv7.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            id: string;
            name: components["schemas"]["ApiKeyName"];
            scopes: components["schemas"]["ApiKeyScopes"];
            /**
             * Format: date-time
             * @description When the key was created.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            expires_at: components["schemas"]["ApiKeyExpiry"];
            /** @description The secret, and the previous one during the overlap after a rotation, newest first. None if the database was restored from a backup since the last rotation. */
            secrets: components["schemas"]["ApiKeySecret"][];
        };
        /** @description An API key with the key itself, which no other response contains. */
        CreatedApiKey: {
            /**
             * Format: uuid
             * @description The key's id, a UUIDv7.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            id: string;
            name: components["schemas"]["ApiKeyName"];
            key: components["schemas"]["ApiKeyText"];
            scopes: components["schemas"]["ApiKeyScopes"];
            /**
             * Format: date-time
             * @description When the key was created.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            expires_at: components["schemas"]["ApiKeyExpiry"];
            /** @description The new secret, and the previous one during the overlap after a rotation. */
            secrets: components["schemas"]["ApiKeySecret"][];
        };
        /** @description One of the secrets with which an API key is accepted. */
        ApiKeySecret: {
            /**
             * @description The last four characters of the secret.
             * @example QtQq
             */
            last_four: string;
            /**
             * Format: date-time
             * @description When the secret was created.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            /**
             * Format: date-time
             * @description The end of the overlap after a rotation. Null for the newest secret, which ends with its key.
             * @example null
             */
            expires_at: string | null;
            /**
             * Format: date-time
             * @description When the secret was last accepted, to the minute. It appears here up to two minutes later. Null if it was never used.
             * @example 2026-11-23T12:00:00.000Z
             */
            last_used_at: string | null;
            /**
             * @description The network of that use. An IPv4 address, or the /64 network of an IPv6 address.
             * @example 192.0.2.7
             */
            last_used_network: string | null;
        };
        /** @description A page of API keys. */
        ApiKeyPage: {
            /** @description The keys, newest first. */
            api_keys: components["schemas"]["ApiKey"][];
            /**
             * Format: uuid
             * @description The `after` of the next page, or null if this is the last page.
             * @example null
             */
            next: string | null;
        };
        /** @description The protected resource. */
        Resource: {
            /**
             * @description A greeting.
             * @example Hello, miguel!
             */
            data: string;
        };
        /** @description A JWK Set (RFC 7517). */
        JwkSet: {
            /** @description The public keys that verify tokens. */
            keys: components["schemas"]["Jwk"][];
        };
        /** @description A public key (RFC 7517). It verifies signatures of its `alg` only. */
        Jwk: {
            /**
             * @description Key type.
             * @example EC
             * @constant
             */
            kty: "EC";
            /**
             * @description Curve.
             * @example P-256
             * @constant
             */
            crv: "P-256";
            /**
             * @description The signature algorithm.
             * @example ES256
             * @constant
             */
            alg: "ES256";
            use: components["schemas"]["KeyUse"];
            kid: components["schemas"]["KeyId"];
            /**
             * @description The x coordinate.
             * @example MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4
             */
            x: string;
            /**
             * @description The y coordinate.
             * @example 4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM
             */
            y: string;
        } | {
            /**
             * @description Key type.
             * @example OKP
             * @constant
             */
            kty: "OKP";
            /**
             * @description Curve.
             * @example Ed25519
             * @constant
             */
            crv: "Ed25519";
            /**
             * @description The signature algorithm.
             * @example EdDSA
             * @constant
             */
            alg: "EdDSA";
            use: components["schemas"]["KeyUse"];
            kid: components["schemas"]["KeyId"];
            /**
             * @description The public key.
             * @example 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo
             */
            x: string;
        } | {
            /**
             * @description Key type.
             * @example RSA
             * @constant
             */
            kty: "RSA";
            /**
             * @description The signature algorithm.
             * @example RS256
             * @constant
             */
            alg: "RS256";
            use: components["schemas"]["KeyUse"];
            kid: components["schemas"]["KeyId"];
            /**
             * @description The modulus.
             * @example w36nfJr2a_GL_Ry-dP_b49Pxu47_UE1x4n7E-EPwBJsHwRVGVmZEOuKBnS66oV0WtDK1ewwmf7NIZHGMcU8erz72J7o6bxSGNKY1QG1W-anqnTvYSCpZs2uqPUUnnaXAknLkA8ks-Xcwf1pZeLbhfju2hMRnV8uZKuw1wb_cwefPdGhM8nJkGR5v7XXV4N-TYVkKRZBYOmn-l3rOyFn66fBMlnc2XXLlG2XsP5mtEawaXtAFmNlA_ZI7RBKW2ZLnaThVbevIWat1bPvt8Q1R9DU2tIRR0JnlS5WNrEAQvspGaw-R7oaTTP8N3tXX0S-4jVcGkB11RmZ4h5tN7rBrew
             */
            n: string;
            /**
             * @description The exponent.
             * @example AQAB
             */
            e: string;
        };
        /**
         * @description The use of the key.
         * @example sig
         * @constant
         */
        KeyUse: "sig";
        /**
         * @description The key's RFC 7638 thumbprint.
         * @example cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s
         */
        KeyId: string;
        /** @description Protected resource metadata (RFC 9728, section 2). */
        ResourceMetadata: {
            /**
             * @description The audience of tokens for the API.
             * @example https://orders.example/v1
             */
            resource: string;
            /** @description This service. */
            authorization_servers: string[];
            /** @description The scopes of the API. */
            scopes_supported: string[];
            /** @description How a token is sent (RFC 6750). */
            bearer_methods_supported: string[];
        };
        /** @description Authorization server metadata (RFC 8414, section 2). */
        ServerMetadata: {
            /**
             * Format: uri
             * @description The `iss` of all tokens.
             * @example https://auth.example
             */
            issuer: string;
            /**
             * Format: uri
             * @description The URL of `GET /oauth/authorize`.
             * @example https://auth.example/oauth/authorize
             */
            authorization_endpoint: string;
            /**
             * @description Authorization responses contain `iss` (RFC 9207).
             * @example true
             */
            authorization_response_iss_parameter_supported: boolean;
            /** @description The methods of PKCE (RFC 7636). */
            code_challenge_methods_supported: string[];
            /** @description How authorization responses are returned. */
            response_modes_supported: string[];
            /** @description The values of `prompt`. */
            prompt_values_supported: string[];
            /**
             * Format: uri
             * @description The URL of `GET /.well-known/jwks.json`.
             * @example https://auth.example/.well-known/jwks.json
             */
            jwks_uri: string;
            /**
             * Format: uri
             * @description The URL of `POST /oauth/introspect`.
             * @example https://auth.example/oauth/introspect
             */
            introspection_endpoint: string;
            /** @description How the caller of the introspection endpoint authenticates. `Bearer` is a token or an API key. */
            introspection_endpoint_auth_methods_supported: string[];
            /**
             * Format: uri
             * @description The URL of `POST /oauth/revoke`.
             * @example https://auth.example/oauth/revoke
             */
            revocation_endpoint: string;
            /** @description How the caller of the revocation endpoint authenticates. It need not. */
            revocation_endpoint_auth_methods_supported: string[];
            /** @description The scopes of this service. Those of registered APIs are not listed. */
            scopes_supported: string[];
            /** @description What `GET /oauth/authorize` returns. */
            response_types_supported: string[];
            /** @description The grant types of the token endpoint. */
            grant_types_supported: string[];
            /**
             * Format: uri
             * @description The URL of `POST /oauth/token`.
             * @example https://auth.example/oauth/token
             */
            token_endpoint: string;
            /** @description How clients authenticate at the token endpoint. */
            token_endpoint_auth_methods_supported: string[];
            /** @description The algorithms of client assertions. */
            token_endpoint_auth_signing_alg_values_supported: string[];
            /** @description The algorithms of client assertions, which are the same at each endpoint. */
            introspection_endpoint_auth_signing_alg_values_supported: string[];
            /** @description The algorithms of client assertions, which are the same at each endpoint. */
            revocation_endpoint_auth_signing_alg_values_supported: string[];
            /** @description The algorithms of DPoP proofs (RFC 9449, section 5.1). */
            dpop_signing_alg_values_supported: string[];
            /**
             * Format: uri
             * @description The URL of `POST /oauth/device-authorization`.
             * @example https://auth.example/oauth/device-authorization
             */
            device_authorization_endpoint: string;
            /**
             * Format: uri
             * @description The URL of `GET` and `POST /oauth/sign-out`.
             * @example https://auth.example/oauth/sign-out
             */
            end_session_endpoint: string;
            /**
             * Format: uri
             * @description The URL of `GET /oauth/userinfo`.
             * @example https://auth.example/oauth/userinfo
             */
            userinfo_endpoint: string;
            /** @description All clients see the same `sub` of a user. */
            subject_types_supported: string[];
            /** @description The algorithms of the published signing keys. `SIGNING_ALG` selects one. */
            id_token_signing_alg_values_supported: string[];
            /** @description The claims of ID tokens and of `/oauth/userinfo`. */
            claims_supported: string[];
            /**
             * @description The scopes decide about claims.
             * @example false
             */
            claims_parameter_supported: boolean;
            /**
             * @description Request objects are not supported.
             * @example false
             */
            request_parameter_supported: boolean;
            /**
             * @description Request objects are not supported.
             * @example false
             */
            request_uri_parameter_supported: boolean;
            /**
             * Format: uri
             * @description The URL of `POST /oauth/register`. Absent if `CLIENT_REGISTRATION` is off.
             * @example https://auth.example/oauth/register
             */
            registration_endpoint?: string;
            /**
             * @description Whether a client id can be the URL of a document. Absent if `CLIENT_ID_METADATA` is off.
             * @example true
             */
            client_id_metadata_document_supported?: boolean;
            /**
             * Format: uri
             * @description The URL of the documentation. Absent if `DOCUMENTATION` is off.
             * @example https://auth.example/docs
             */
            service_documentation?: string;
        };
        /** @description What a device asks for (RFC 8628, section 3.1). Each parameter may occur once. Other parameters are ignored, and an empty one is like none (RFC 6749, section 3.2). */
        DeviceAuthorizationRequest: {
            client_id?: components["schemas"]["PresentedClientId"];
            client_secret?: components["schemas"]["PresentedClientSecret"];
            client_assertion?: components["schemas"]["ClientAssertion"];
            client_assertion_type?: components["schemas"]["ClientAssertionType"];
            scope?: components["schemas"]["RequestedScope"];
            resource?: components["schemas"]["RequestedResource"];
        } & {
            [key: string]: unknown;
        };
        /** @description What a client exchanges for tokens. Each parameter may occur once. Other parameters are ignored, and an empty one is like none (RFC 6749, section 3.2). */
        TokenRequest: {
            /**
             * @description `client_credentials`, `authorization_code`, `refresh_token` or `urn:ietf:params:oauth:grant-type:device_code`.
             * @example client_credentials
             */
            grant_type: string;
            client_id?: components["schemas"]["PresentedClientId"];
            client_secret?: components["schemas"]["PresentedClientSecret"];
            client_assertion?: components["schemas"]["ClientAssertion"];
            client_assertion_type?: components["schemas"]["ClientAssertionType"];
            scope?: components["schemas"]["RequestedScope"];
            resource?: components["schemas"]["RequestedResource"];
            /**
             * @description An authorization code. Required for `authorization_code`.
             * @example SplxlOBeZQQYbYS6WxSbIA-SplxlOBeZQQYbYS6WxSb
             */
            code?: string;
            /**
             * @description The redirect URI of the authorization request. It may be left out, as in OAuth 2.1. If it is sent, it must be the same.
             * @example https://app.example/callback
             */
            redirect_uri?: string;
            /**
             * @description The secret whose SHA-256 digest the authorization request contained (RFC 7636). Required for `authorization_code`.
             * @example dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk
             */
            code_verifier?: string;
            /**
             * @description A refresh token. Required for `refresh_token`.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.AAAAAG9uZSByZWZyZXNoIHRva2VuLCBhbmQgbm90IGEgcmVhbA
             */
            refresh_token?: string;
            /**
             * @description The code from `POST /oauth/device-authorization`. Required for `urn:ietf:params:oauth:grant-type:device_code`.
             * @example GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS2A
             */
            device_code?: string;
        } & {
            [key: string]: unknown;
        };
        /** @description The tokens of a client (RFC 6749, section 5.1). */
        OAuthTokens: {
            /**
             * @description The access token, a JWT (RFC 9068).
             * @example eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJsa2NfMDEifQ.c2lnbmF0dXJl
             */
            access_token: string;
            /**
             * @description How the access token is sent.
             * @example Bearer
             */
            token_type: "Bearer" | "DPoP";
            /**
             * @description The lifetime of the access token, in seconds.
             * @example 600
             */
            expires_in: number;
            /**
             * @description What the client may do now, separated by spaces. Empty if it may do nothing.
             * @example openid orders:read
             */
            scope: string;
            /**
             * @description The token for the next refresh, if the client has the grant `refresh_token`. It works once.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.AAAAAG9uZSByZWZyZXNoIHRva2VuLCBhbmQgbm90IGEgcmVhbA
             */
            refresh_token?: string;
            /**
             * @description The ID token (OpenID Connect Core, section 2), if `openid` was granted.
             * @example eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwMSJ9.c2lnbmF0dXJl
             */
            id_token?: string;
        };
        /**
         * @description The id of the client. Required unless the credentials contain it.
         * @example lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b
         */
        PresentedClientId: string;
        /**
         * @description The secret of the client, if it is not in the `Authorization` header.
         * @example lks_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2uwvvG
         */
        PresentedClientSecret: string;
        /**
         * @description A JWT that the client has signed (RFC 7523, section 2.2).
         * @example eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJsa2NfMDEifQ.c2lnbmF0dXJl
         */
        ClientAssertion: string;
        /**
         * @description The kind of `client_assertion`: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`.
         * @example urn:ietf:params:oauth:client-assertion-type:jwt-bearer
         */
        ClientAssertionType: string;
        /**
         * @description Scopes, separated by spaces. By default, all scopes of the client for the audience. What the user does not have is left out.
         * @example openid orders:read
         */
        RequestedScope: string;
        /**
         * @description The audience of the access token (RFC 8707). By default, it follows from the scopes.
         * @example https://orders.example/v1
         */
        RequestedResource: string;
        /** @description The codes of a device (RFC 8628, section 3.2). */
        DeviceAuthorization: {
            /**
             * @description The code that the device sends to the token endpoint. Keep it secret.
             * @example GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS2A
             */
            device_code: string;
            /**
             * @description The code that the user enters. Case, spaces and dashes do not matter.
             * @example WDJB-MJHT
             */
            user_code: string;
            /**
             * Format: uri
             * @description The page where the user enters the code.
             * @example https://auth.example/oauth/device
             */
            verification_uri: string;
            /**
             * Format: uri
             * @description The same page with the code, for a QR code. The user still has to confirm.
             * @example https://auth.example/oauth/device?user_code=WDJB-MJHT
             */
            verification_uri_complete: string;
            /**
             * @description The lifetime of both codes, in seconds.
             * @example 600
             */
            expires_in: number;
            /**
             * @description The number of seconds to wait between two requests to the token endpoint.
             * @example 5
             */
            interval: number;
        };
        /** @description Claims about a user (OpenID Connect Core, section 5.3.2). */
        Userinfo: {
            /**
             * Format: uuid
             * @description The user's id, as in the ID token. It never changes.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            sub: string;
            /**
             * @description The username. Present if the token has the scope `profile`.
             * @example miguel
             */
            preferred_username?: string;
        };
        /** @description The token to verify. Each parameter may occur once. Other parameters are ignored, and an empty one is like none (RFC 6749, section 3.2). */
        IntrospectionRequest: {
            token: components["schemas"]["PresentedToken"];
            token_type_hint?: components["schemas"]["TokenTypeHint"];
            client_id?: components["schemas"]["PresentedClientId"];
            client_secret?: components["schemas"]["PresentedClientSecret"];
            client_assertion?: components["schemas"]["ClientAssertion"];
            client_assertion_type?: components["schemas"]["ClientAssertionType"];
            /**
             * @description A cursor of `GET /api/revocations`. The response is at least as recent as the entries up to this cursor, whichever instance responds.
             * @example MTsyMDI2LTExLTIzIDA4OjAwOjAwLjEyMzQ1NiswMDsxNzk1NDI2MjAwMDAwOzc1MTI6NzUxMjo
             */
            revocations_after?: string;
            /**
             * @description The API for which the token is verified, or this service. The response is `{"active": false}` for a token of another audience, for an API key without any scope of the API, and if the API is not registered. An API key is described by its scopes of this API only. Without this parameter, a service must compare `aud` and `scope` itself.
             * @example https://orders.example/v1
             */
            audience?: string;
        } & {
            [key: string]: unknown;
        };
        /** @description The token to revoke. Each parameter may occur once. Other parameters are ignored, and an empty one is like none (RFC 6749, section 3.2). */
        RevocationRequest: {
            token: components["schemas"]["PresentedToken"];
            token_type_hint?: components["schemas"]["TokenTypeHint"];
            client_id?: components["schemas"]["PresentedClientId"];
            client_secret?: components["schemas"]["PresentedClientSecret"];
            client_assertion?: components["schemas"]["ClientAssertion"];
            client_assertion_type?: components["schemas"]["ClientAssertionType"];
        } & {
            [key: string]: unknown;
        };
        /**
         * @description An access token, a refresh token, an API key, or any other text.
         * @example lk_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf3TQtQq
         */
        PresentedToken: string;
        /**
         * @description What the token may be. The service ignores it, because it recognizes each kind of token by its form.
         * @example access_token
         */
        TokenTypeHint: string;
        /** @description Whether a token is valid, and what is known about it (RFC 7662, section 2.2). */
        Introspection: components["schemas"]["InactiveToken"] | components["schemas"]["ActiveToken"];
        /** @description A text that is not a valid token now. */
        InactiveToken: {
            /**
             * @description Always `false`.
             * @example false
             * @constant
             */
            active: false;
        };
        /** @description A valid token. */
        ActiveToken: {
            /**
             * @description Always `true`.
             * @example true
             * @constant
             */
            active: true;
            /**
             * @description The kind of token. A service must not accept a refresh token as an access token.
             * @example access_token
             */
            token_type: "access_token" | "DPoP" | "api_key" | "refresh_token";
            /**
             * @description The scopes that the token allows now, separated by spaces: those of the credential's scopes that the user has. Empty if it allows nothing. For a token for this service, these are scopes of this service, even if the token is not limited. Absent for a refresh token, which allows nothing at any service.
             * @example orders:read
             */
            scope?: string;
            /**
             * @description The client that the token was issued to. `latchkey` for a token that a user got without a registered client, and for an API key.
             * @example latchkey
             */
            client_id: string;
            /**
             * @description The user's name when the token was issued. Absent if the client acts for itself.
             * @example miguel
             */
            username?: string;
            /**
             * @description The user's id. If the client acts for itself, this is its `client_id`.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            sub: string;
            /**
             * @description The API that the token is for, or this service. An API key is valid for this service and for every API that has one of its scopes: for a key, this is the `audience` of the request, and absent without it.
             * @example https://orders.example/v1
             */
            aud?: string;
            /**
             * @description This service.
             * @example https://auth.example
             */
            iss: string;
            /**
             * @description When the token was issued, in seconds since 1970. Absent for an API key.
             * @example 1795685400
             */
            iat?: number;
            /**
             * @description When the token expires, in seconds since 1970. Absent for an API key that does not expire.
             * @example 1795686000
             */
            exp?: number;
            /**
             * @description The key that the token is bound to. A service that accepts the token must verify a proof of it (RFC 9449, section 6).
             * @example {
             *       "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
             *     }
             */
            cnf?: {
                /**
                 * @description The thumbprint of the key (RFC 7638) with SHA-256.
                 * @example 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I
                 */
                jkt: string;
            };
            /**
             * Format: uuid
             * @description The id of an access token.
             * @example 6b0b7a6e-2f6f-4b1e-9d0f-0c1d2e3f4a5b
             */
            jti?: string;
            /**
             * Format: uuid
             * @description The id of the session, if the token has one.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            sid?: string;
            /** @description The user's roles, without `default`. Those of a token for an API are as of its issue. Absent for a refresh token. */
            roles?: components["schemas"]["RoleName"][];
            /**
             * Format: uuid
             * @description The id of an API key.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            api_key_id?: string;
            /**
             * @description The `epoch` claim of an access token. The revocation list revokes tokens by it.
             * @example 0
             */
            epoch?: number;
            /**
             * @description The `epochs` claim of a token for an API.
             * @example {
             *       "role:clerk": 1
             *     }
             */
            epochs?: {
                [key: string]: number;
            };
            /** @description The subjects of the revocation list whose next entry may make this response outdated. A service that follows the list may use the response until then, or until `exp`. Absent for a refresh token. */
            revocation_subjects?: string[];
        };
        /** @description An error of an OAuth endpoint (RFC 6749, section 5.2). */
        OAuthError: {
            /**
             * @description The error code.
             * @example invalid_request
             */
            error: string;
            /**
             * @description An explanation of this occurrence, for people, in ASCII. Programs should not parse it.
             * @example The request is not valid: token is required.
             */
            error_description: string;
            /**
             * Format: uri-reference
             * @description The page that explains the problem.
             * @example /problems/invalid-request
             */
            error_uri: string;
        };
        /** @description The parameters of `GET /oauth/authorize`. Each may occur once. Other parameters are ignored, and an empty one is like none (RFC 6749, section 3.1). */
        AuthorizationRequest: {
            /**
             * @description `code`.
             * @example code
             */
            response_type?: string;
            /**
             * @description The client's id.
             * @example lkc_019a3c5e7f007a1b8c2d3e4f5a6b7c8d
             */
            client_id?: string;
            /**
             * @description Where the browser returns to.
             * @example https://app.example/callback
             */
            redirect_uri?: string;
            /**
             * @description The SHA-256 digest of the code verifier.
             * @example E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM
             */
            code_challenge?: string;
            /**
             * @description `S256`.
             * @example S256
             */
            code_challenge_method?: string;
            /**
             * @description Returned to the client as it is.
             * @example af0ifjsldkj
             */
            state?: string;
            /**
             * @description What the client asks for, separated by spaces.
             * @example openid
             */
            scope?: string;
            /**
             * @description The audience of the tokens.
             * @example https://orders.example/v1
             */
            resource?: string;
            /**
             * @description Returned in the ID token.
             * @example n-0S6_WzA2Mj
             */
            nonce?: string;
            /**
             * @description Which pages have to be shown.
             * @example login
             */
            prompt?: string;
            /**
             * @description The maximum age of the sign-in, in seconds. If it is older, the user signs in again.
             * @example 3600
             */
            max_age?: string;
            /**
             * @description The username that the client expects.
             * @example miguel
             */
            login_hint?: string;
            /**
             * @description An ID token of the user whom the client expects.
             * @example eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwMSJ9.c2lnbmF0dXJl
             */
            id_token_hint?: string;
            /**
             * @description The thumbprint of the key that the tokens are to be bound to.
             * @example 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I
             */
            dpop_jkt?: string;
            /**
             * @description `query`.
             * @example query
             */
            response_mode?: string;
        } & {
            [key: string]: unknown;
        };
        /** @description A client, and what it asks a user for. */
        Authorization: {
            client: components["schemas"]["AskingClient"];
            /**
             * @description The API that the tokens are for.
             * @example https://orders.example/v1
             */
            audience: string;
            /** @description What the client asks for and the user has. */
            scopes: components["schemas"]["ApiScope"][];
            /**
             * @description Where the browser returns to. The origin of the redirect URI, or its scheme.
             * @example https://app.example
             */
            redirect_target: string;
            /**
             * @description The username that the client expects.
             * @example miguel
             */
            login_hint: string | null;
            /**
             * @description Whether the user has to be asked. If not, they have allowed it before, or the client is a part of your own product.
             * @example true
             */
            consent_required: boolean;
            /**
             * Format: date-time
             * @description When the request expires.
             * @example 2026-11-23T09:40:00.000Z
             */
            expires_at: string;
        };
        /** @description What is shown to the user about a client. Only clients that an administrator registered have checked links. */
        AskingClient: {
            /**
             * @description The client's id.
             * @example lkc_019a3c5e7f007a1b8c2d3e4f5a6b7c8d
             */
            client_id: string;
            /**
             * @description The client's name.
             * @example Orders
             */
            name: string;
            /**
             * @description Its logo.
             * @example null
             */
            logo_uri: string | null;
            /**
             * @description Its website.
             * @example https://app.example
             */
            client_uri: string | null;
            /**
             * @description Its privacy policy.
             * @example null
             */
            policy_uri: string | null;
            /**
             * @description Its terms of service.
             * @example null
             */
            tos_uri: string | null;
        };
        /** @description The decision of a user. */
        AuthorizationDecision: {
            /**
             * @description Whether the client gets what it asks for.
             * @example allow
             * @enum {string}
             */
            decision: "allow" | "deny";
        };
        /** @description The result of a decision. */
        AuthorizationResult: {
            /**
             * Format: uri
             * @description The redirect URI of the client, with the result in its query. Send the browser there.
             * @example https://app.example/callback?code=pVY2XkqbLZ0mO5vH8sJ3rTn7wQcFd1gUa9eKiR4tB6M&state=af0ifjsldkj&iss=https%3A%2F%2Fauth.example
             */
            redirect_uri: string;
        };
        /** @description A page of grants. */
        GrantPage: {
            /** @description The grants, newest first. */
            grants: components["schemas"]["Grant"][];
            /**
             * Format: uuid
             * @description The `cursor` of the next page, or null if this is the last page.
             * @example null
             */
            next_cursor: string | null;
        };
        /** @description What a user allows a client. */
        Grant: {
            /**
             * Format: uuid
             * @description The grant's id.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            id: string;
            /**
             * @description The client's id.
             * @example lkc_019a3c5e7f007a1b8c2d3e4f5a6b7c8d
             */
            client_id: string;
            /**
             * @description The client's name.
             * @example Orders
             */
            client_name: string;
            /**
             * @description The API that the tokens are for.
             * @example https://orders.example/v1
             */
            audience: string;
            /** @description What the client is allowed. The rights of the user limit it further. */
            scopes: components["schemas"]["ScopeName"][];
            /**
             * Format: date-time
             * @description When the user allowed it first.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When the user allowed it last.
             * @example 2026-11-23T09:30:00.000Z
             */
            updated_at: string;
        };
        /** @description A healthy instance. */
        Health: {
            /**
             * @description Always `ok`.
             * @example ok
             * @constant
             */
            status: "ok";
        };
        /** @description The service's main paths. */
        Index: {
            /**
             * @description The program name.
             * @example Latchkey
             * @constant
             */
            name: "Latchkey";
            /**
             * Format: uri-reference
             * @description The guide and the reference. Absent if `DOCUMENTATION` is off.
             * @example /docs
             */
            documentation?: string;
            /**
             * Format: uri-reference
             * @description The contract. Absent if `DOCUMENTATION` is off.
             * @example /openapi.json
             */
            openapi?: string;
            /**
             * Format: uri-reference
             * @description The path to register users.
             * @example /api/users
             */
            users: string;
            /**
             * Format: uri-reference
             * @description The path to get a token.
             * @example /api/token
             */
            token: string;
            /**
             * Format: uri-reference
             * @description The path to sign in.
             * @example /api/sessions
             */
            sessions: string;
            /**
             * Format: uri-reference
             * @description The keys that verify tokens.
             * @example /.well-known/jwks.json
             */
            jwks: string;
            /**
             * Format: uri-reference
             * @description The readiness check.
             * @example /readyz
             */
            readiness: string;
        };
        /** @description An HTML page. */
        Page: string;
        /**
         * @description An authorization request, sealed for the browser that began it. It is valid for ten minutes.
         * @example eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..bm9uY2U.c2VhbGVk.dGFn
         */
        SealedAuthorization: string;
        /**
         * @description Proves that this browser has got the form. Not needed with an authorization request, which proves it as well.
         * @example 9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
         */
        FormToken: string;
        /** @description The form of the sign-in page. */
        SignInForm: {
            authorization?: components["schemas"]["SealedAuthorization"];
            token?: components["schemas"]["FormToken"];
            /**
             * @description The code that a device shows.
             * @example WDJB-MJHT
             */
            user_code?: string;
            /**
             * @description As the user has typed it.
             * @example miguel
             */
            username: string;
            /**
             * @description As the user has typed it.
             * @example correct horse battery
             */
            password: string;
        };
        /** @description The form of the registration page. */
        SignUpForm: {
            authorization?: components["schemas"]["SealedAuthorization"];
            token?: components["schemas"]["FormToken"];
            /**
             * @description The code that a device shows.
             * @example WDJB-MJHT
             */
            user_code?: string;
            /**
             * @description As the user has typed it.
             * @example miguel
             */
            username: string;
            /**
             * @description As the user has typed it.
             * @example correct horse battery
             */
            password: string;
        };
        /** @description The form of the consent page. */
        ConsentForm: {
            authorization: components["schemas"]["SealedAuthorization"];
            /**
             * @description The button that the user has pressed.
             * @example allow
             * @enum {string}
             */
            decision: "allow" | "deny";
        };
        /** @description The parameters of `GET /oauth/sign-out`. Each may occur once. Other parameters are ignored. */
        SignOutRequest: {
            /**
             * @description An ID token of the client. It may have expired.
             * @example eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwMSJ9.c2lnbmF0dXJl
             */
            id_token_hint?: string;
            client_id?: components["schemas"]["PresentedClientId"];
            post_logout_redirect_uri?: components["schemas"]["PostLogoutRedirectUri"];
            state?: components["schemas"]["ReturnedState"];
        } & {
            [key: string]: unknown;
        };
        /** @description The form of the sign-out page. */
        SignOutForm: {
            token: components["schemas"]["FormToken"];
            client_id?: components["schemas"]["PresentedClientId"];
            post_logout_redirect_uri?: components["schemas"]["PostLogoutRedirectUri"];
            state?: components["schemas"]["ReturnedState"];
        };
        /**
         * @description Where the user returns to after the sign-out.
         * @example https://app.example/signed-out
         */
        PostLogoutRedirectUri: string;
        /**
         * @description A value that the client gets back.
         * @example af0ifjsldkj
         */
        ReturnedState: string;
        /** @description The forms of the page for device codes. */
        DeviceForm: {
            token: components["schemas"]["FormToken"];
            /**
             * @description The code that a device shows.
             * @example WDJB-MJHT
             */
            user_code?: string;
            /**
             * @description The scopes that the page has shown, separated by spaces. Nothing else is allowed.
             * @example openid account:read
             */
            scope?: string;
            /**
             * @description The button that the user has pressed.
             * @example allow
             * @enum {string}
             */
            decision?: "allow" | "deny";
        };
        /** @description An OpenAPI 3.1 document. */
        OpenApiDocument: {
            /**
             * @description The version of OpenAPI.
             * @example 3.1.0
             */
            openapi: string;
            /** @description The contract's metadata. */
            info: {
                /**
                 * @description The service's name.
                 * @example Latchkey
                 */
                title: string;
                /**
                 * @description The contract's version.
                 * @example 0.1.0
                 */
                version: string;
            } & {
                [key: string]: unknown;
            };
            /** @description The operations, by path. */
            paths: {
                [key: string]: unknown;
            };
        } & {
            [key: string]: unknown;
        };
        /** @description A part of the revocation list. */
        RevocationPage: {
            /** @description Entries of the list, in no particular order. An entry may be repeated. */
            entries: components["schemas"]["RevocationEntry"][];
            /**
             * @description The cursor for the next request, which any instance understands.
             * @example MTsyMDI2LTExLTIzIDA4OjAwOjAwLjEyMzQ1NiswMDsxNzk1NDI2MjAwMDAwOzc1MTI6NzUxMjo
             */
            next: string;
            /**
             * @description Whether more entries are available now. If so, repeat the request with `next` at once.
             * @example false
             */
            has_more: boolean;
            /**
             * @description With `has_more: false`, the entries up to `next` are all that were revoked up to a time. This is that time, in milliseconds after the service received the request. Usually negative, or less than the time for which the request was held. Add it to the time at which you sent the request, on your own clock.
             * @example -412
             */
            complete_at_offset_ms: number;
        };
        /** @description Makes credentials of a subject invalid, or rights outdated. */
        RevocationEntry: {
            /**
             * @description The `jti`, `sid`, `sub` or `kid` of tokens, the id of an API key, `everybody`, or a subject in the `epochs` of tokens: `rights:` and a user id, `role:` and a role, `api:` and an audience, `client:` and a client id.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            subject: string;
            /**
             * @description A token is revoked if its `epoch`, or its member of `epochs` with the name of the subject, is lower. If a subject has several entries, the highest counts.
             * @example 2147483647
             */
            minimum_epoch: number;
            /**
             * Format: date-time
             * @description When the entry can be forgotten, because every token that it revokes has expired.
             * @example 2026-11-23T09:45:00.000Z
             */
            expires_at: string;
        };
        /** @description A page of audit events. */
        AuditEventPage: {
            /** @description The events, newest first. */
            events: components["schemas"]["AuditEvent"][];
            /**
             * @description The value of `after` for the next page. `null` on the last page.
             * @example 1042
             */
            next: string | null;
        };
        /** @description Something that happened. */
        AuditEvent: {
            /**
             * @description Increases with each event.
             * @example 1043
             */
            id: string;
            /**
             * Format: date-time
             * @description When it happened.
             * @example 2026-11-23T09:30:00.000Z
             */
            occurred_at: string;
            /**
             * @description The name of the event. RUNBOOK.md explains each.
             * @example password-refused
             */
            event: string;
            actor: components["schemas"]["Person"];
            subject: components["schemas"]["Person"];
            /**
             * @description The IP address of the client. `null` for the command line and for background tasks.
             * @example 192.0.2.7
             */
            address: string | null;
            /**
             * Format: uuid
             * @description The `X-Request-Id` of the request. `null` outside of requests.
             * @example 7f5cbb39-8c11-4d31-a2cb-0a1c9f6f8b1e
             */
            request_id: string | null;
            /**
             * @description More about the event, by name.
             * @example {
             *       "reason": "wrong-password"
             *     }
             */
            details: {
                [key: string]: string;
            };
        };
        /** @description The actor or the subject of an event, with the name at that time. `null` if unknown. An operator at the command line has a name and no id. An actor can be a client. */
        Person: {
            /**
             * @description The id of the user or the client.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            id: string | null;
            /**
             * @description The name of the user or the client.
             * @example miguel
             */
            name: string | null;
        };
        /** @description The details of an error (RFC 9457). */
        Problem: {
            /**
             * @description The problem type. Stable. It is also the address of a page that explains the problem.
             * @example /problems/token-expired
             * @enum {string}
             */
            type: "/problems/invalid-request" | "/problems/invalid-scope" | "/problems/invalid-target" | "/problems/invalid-grant" | "/problems/invalid-dpop-proof" | "/problems/unsupported-grant-type" | "/problems/unauthorized-client" | "/problems/authorization-pending" | "/problems/slow-down" | "/problems/device-code-expired" | "/problems/access-denied" | "/problems/authentication-required" | "/problems/invalid-credentials" | "/problems/invalid-client-metadata" | "/problems/invalid-redirect-uri" | "/problems/invalid-client" | "/problems/invalid-token" | "/problems/token-expired" | "/problems/token-revoked" | "/problems/dpop-proof-refused" | "/problems/token-reused" | "/problems/cross-site-request" | "/problems/insufficient-scope" | "/problems/login-required" | "/problems/undeclared-operation" | "/problems/not-found" | "/problems/method-not-allowed" | "/problems/not-acceptable" | "/problems/request-timeout" | "/problems/username-taken" | "/problems/last-administrator" | "/problems/cursor-expired" | "/problems/precondition-failed" | "/problems/too-many-api-keys" | "/problems/too-many-client-secrets" | "/problems/audience-taken" | "/problems/built-in-role" | "/problems/payload-too-large" | "/problems/unsupported-media-type" | "/problems/password-refused" | "/problems/too-many-requests" | "/problems/internal-error" | "/problems/overloaded" | "/problems/database-unavailable" | "/problems/revocations-stale" | "/problems/verification-unavailable" | "/problems/contract-unusable" | "/problems/schema-mismatch" | "/problems/shutting-down";
            /**
             * @description A short summary, the same for every problem of this type.
             * @example The token has expired
             */
            title: string;
            /**
             * @description The HTTP status.
             * @example 401
             */
            status: number;
            /**
             * @description An explanation of this occurrence, for people. Programs should not parse it.
             * @example The token expired at 2026-11-23T09:40:00Z.
             */
            detail?: string;
            /**
             * Format: uri
             * @description The id of the request, as a URN.
             * @example urn:uuid:7f5cbb39-8c11-4d31-a2cb-0a1c9f6f8b1e
             */
            instance: string;
            /** @description The invalid parts of the request. */
            errors?: components["schemas"]["RequestError"][];
            reason?: components["schemas"]["PasswordRefusal"];
            /**
             * @description The scopes that the operation requires and the request does not have, separated by spaces.
             * @example users:read
             */
            scope?: string;
        };
        /**
         * @description Why a new password was not accepted.
         * @example too-short
         * @enum {string}
         */
        PasswordRefusal: "too-short" | "too-long" | "too-common" | "too-predictable" | "contains-username";
        /** @description An invalid part of the request. */
        RequestError: {
            /**
             * @description A JSON Pointer into the body, as a URI fragment (RFC 6901, section 6).
             * @example #/username
             */
            pointer: string;
            detail: components["schemas"]["RequestErrorDetail"];
        } | {
            /**
             * @description The parameter's name.
             * @example id
             */
            parameter: string;
            detail: components["schemas"]["RequestErrorDetail"];
        } | {
            /**
             * @description The header's name.
             * @example Authorization
             */
            header: string;
            detail: components["schemas"]["RequestErrorDetail"];
        };
        /**
         * @description What is wrong, in words for people.
         * @example is required
         */
        RequestErrorDetail: string;
    };
    responses: {
        /** @description The metadata. */
        ServerMetadata: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["PublicFiveMinutes"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ServerMetadata"];
            };
        };
        /** @description The user. */
        User: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                ETag: components["headers"]["UserETag"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["User"];
            };
        };
        /** @description The client. */
        Client: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                ETag: components["headers"]["ClientETag"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Client"];
            };
        };
        /** @description The API key. */
        ApiKey: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ApiKey"];
            };
        };
        /** @description The API key, with its new secret. */
        ApiKeyCreated: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                /**
                 * @description The key's path.
                 * @example /api/api-keys/01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                Location: string;
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["CreatedApiKey"];
            };
        };
        /** @description A page of API keys. */
        ApiKeyPage: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ApiKeyPage"];
            };
        };
        /** @description Success, without a body. */
        Done: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content?: never;
        };
        /** @description The instance is healthy. */
        Health: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Health"];
            };
        };
        /** @description The index. */
        Index: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["PublicFiveMinutes"];
                "Content-Security-Policy": components["headers"]["Content-Security-Policy"];
                /**
                 * @description The response depends on `Accept` and, if `CORS_ORIGINS` is set, on `Origin`.
                 * @example Accept
                 */
                Vary: string;
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Index"];
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description The content is unchanged since the version in `If-None-Match` (RFC 9110, section 13.1.2). */
        NotModified: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["PublicFiveMinutes"];
                ETag: components["headers"]["ETag"];
                Vary: components["headers"]["Vary"];
                [name: string]: unknown;
            };
            content?: never;
        };
        /** @description The page is unchanged since the version in `If-None-Match` (RFC 9110, section 13.1.2). */
        PageNotModified: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["PublicFiveMinutes"];
                "Content-Security-Policy": components["headers"]["Content-Security-Policy"];
                ETag: components["headers"]["ETag"];
                Vary: components["headers"]["Vary"];
                [name: string]: unknown;
            };
            content?: never;
        };
        /** @description The request is malformed or does not match the contract. */
        InvalidRequest: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/invalid-request";
                    /** @constant */
                    status?: 400;
                };
            };
        };
        /** @description The request is malformed or does not match the contract, or it asks for an API or for scopes that do not exist, or that exceed the limits of the session. */
        InvalidTokenRequest: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @enum {unknown} */
                    type?: "/problems/invalid-request" | "/problems/invalid-scope" | "/problems/invalid-target";
                    /** @constant */
                    status?: 400;
                };
            };
        };
        /** @description The credentials are missing or not accepted. */
        Unauthorized: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @enum {unknown} */
                    type?: "/problems/authentication-required" | "/problems/invalid-credentials" | "/problems/invalid-token" | "/problems/token-expired" | "/problems/token-revoked" | "/problems/dpop-proof-refused";
                    /** @constant */
                    status?: 401;
                };
            };
        };
        /** @description The username and password are missing or wrong. A token is not accepted. */
        PasswordRequired: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @enum {unknown} */
                    type?: "/problems/authentication-required" | "/problems/invalid-credentials";
                    /** @constant */
                    status?: 401;
                };
            };
        };
        /** @description The token is missing or not accepted. A password is not accepted. */
        TokenRequired: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @enum {unknown} */
                    type?: "/problems/authentication-required" | "/problems/invalid-token" | "/problems/token-expired" | "/problems/token-revoked" | "/problems/dpop-proof-refused";
                    /** @constant */
                    status?: 401;
                };
            };
        };
        /** @description The refresh token is not accepted. `type` gives the reason. The user has to sign in again. */
        RefreshRefused: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @enum {unknown} */
                    type?: "/problems/invalid-token" | "/problems/token-expired" | "/problems/token-revoked" | "/problems/token-reused";
                    /** @constant */
                    status?: 401;
                };
            };
        };
        /** @description The user or the credential does not have a scope that the operation requires. `scope` names it (RFC 6750, section 3.1). */
        InsufficientScope: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "WWW-Authenticate": components["headers"]["ScopeChallenge"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/insufficient-scope";
                    /** @constant */
                    status?: 403;
                };
            };
        };
        /** @description The user or the credential does not have a scope that the operation requires (RFC 6750, section 3.1), or a web page of an origin that `CORS_ORIGINS` does not list sent this request. The service changed nothing. */
        Forbidden: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "WWW-Authenticate": components["headers"]["ScopeChallenge"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @enum {unknown} */
                    type?: "/problems/insufficient-scope" | "/problems/cross-site-request";
                    /** @constant */
                    status?: 403;
                };
            };
        };
        /** @description A web page of an origin that `CORS_ORIGINS` does not list sent this request. The service did not check the credentials and changed nothing. */
        CrossSiteRequest: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/cross-site-request";
                    /** @constant */
                    status?: 403;
                };
            };
        };
        /** @description The object does not exist, or these credentials give no access to it. */
        NotFound: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/not-found";
                    /** @constant */
                    status?: 404;
                };
            };
        };
        /** @description The `Accept` header excludes every media type that this operation can return. */
        NotAcceptable: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/not-acceptable";
                    /** @constant */
                    status?: 406;
                };
            };
        };
        /** @description The body did not arrive in time. The connection is closed. */
        RequestTimeout: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/request-timeout";
                    /** @constant */
                    status?: 408;
                };
            };
        };
        /** @description Another user has this username, possibly in a different case or Unicode normalization form. */
        UsernameTaken: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/username-taken";
                    /** @constant */
                    status?: 409;
                };
            };
        };
        /** @description The user is the last administrator who is not blocked. Without one, nobody could administer the service. */
        LastAdministrator: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/last-administrator";
                    /** @constant */
                    status?: 409;
                };
            };
        };
        /** @description The object has changed since the `ETag` in `If-Match`. The service changed nothing. */
        PreconditionFailed: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/precondition-failed";
                    /** @constant */
                    status?: 412;
                };
            };
        };
        /** @description Entries after this cursor may be missing. Forget every credential that was verified before, and start again without `after`. */
        CursorExpired: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/cursor-expired";
                    /** @constant */
                    status?: 410;
                };
            };
        };
        /** @description The service itself needs this role. `administrator` cannot be changed, and neither built-in role can be deleted. */
        BuiltInRole: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/built-in-role";
                    /** @constant */
                    status?: 409;
                };
            };
        };
        /** @description Another API has this audience, or it is that of this service. */
        AudienceTaken: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/audience-taken";
                    /** @constant */
                    status?: 409;
                };
            };
        };
        /** @description The user has as many API keys as `API_KEYS_PER_USER` allows, expired ones included. */
        TooManyApiKeys: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/too-many-api-keys";
                    /** @constant */
                    status?: 409;
                };
            };
        };
        /** @description The client has two secrets, or it does not authenticate with a secret. */
        TooManyClientSecrets: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/too-many-client-secrets";
                    /** @constant */
                    status?: 409;
                };
            };
        };
        /** @description The body is larger than 16 KiB, or than 1 MiB if it may have a `contract`. */
        PayloadTooLarge: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/payload-too-large";
                    /** @constant */
                    status?: 413;
                };
            };
        };
        /** @description The body is not `application/json` in UTF-8, or it is compressed. */
        UnsupportedMediaType: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/unsupported-media-type";
                    /** @constant */
                    status?: 415;
                };
            };
        };
        /** @description The new password is too weak, too long, or contains the username. `reason` says which. */
        PasswordRefused: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/password-refused";
                    /** @constant */
                    status?: 422;
                    reason: components["schemas"]["PasswordRefusal"];
                };
            };
        };
        /** @description Too many wrong passwords for this account or from this network, or too many registrations from this network. The password was not checked. Retry after the number of seconds in `Retry-After`. */
        TooManyRequests: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Retry-After": components["headers"]["Retry-After"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/too-many-requests";
                    /** @constant */
                    status?: 429;
                };
            };
        };
        /** @description The service failed. The log contains the error under the request id. */
        InternalError: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @constant */
                    type?: "/problems/internal-error";
                    /** @constant */
                    status?: 500;
                };
            };
        };
        /** @description The database is unavailable, the revocation list is out of date, or the service is overloaded. A change may or may not have been made. Retry after the number of seconds in `Retry-After`. */
        Unavailable: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Retry-After": components["headers"]["Retry-After"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @enum {unknown} */
                    type?: "/problems/overloaded" | "/problems/database-unavailable" | "/problems/revocations-stale";
                    /** @constant */
                    status?: 503;
                };
            };
        };
        /** @description The instance should get no traffic: the database is unavailable, its schema is out of date, or the instance is shutting down. */
        NotReady: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Retry-After": components["headers"]["Retry-After"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @enum {unknown} */
                    type?: "/problems/database-unavailable" | "/problems/schema-mismatch" | "/problems/shutting-down";
                    /** @constant */
                    status?: 503;
                };
            };
        };
        /** @description The page. */
        Page: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Content-Security-Policy": components["headers"]["PagePolicy"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                "Set-Cookie": components["headers"]["PageCookie"];
                [name: string]: unknown;
            };
            content: {
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description Where the browser goes next, with `GET`. */
        SeeOther: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                "Set-Cookie": components["headers"]["PageCookie"];
                /**
                 * @description A page of this service, or the redirect URI of the client.
                 * @example consent?authorization=eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..bm9uY2U.c2VhbGVk.dGFn
                 */
                Location: string;
                [name: string]: unknown;
            };
            content?: never;
        };
        /** @description The request is not valid, or the form again, with an error. */
        BadPage: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Content-Security-Policy": components["headers"]["PagePolicy"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                [name: string]: unknown;
            };
            content: {
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description A page of another site has sent the form. */
        CrossSitePage: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Content-Security-Policy": components["headers"]["PagePolicy"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                [name: string]: unknown;
            };
            content: {
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description There is no such page. */
        MissingPage: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Content-Security-Policy": components["headers"]["PagePolicy"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                [name: string]: unknown;
            };
            content: {
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description The client does not accept HTML. */
        UnacceptablePage: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Content-Security-Policy": components["headers"]["PagePolicy"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                [name: string]: unknown;
            };
            content: {
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description The form did not arrive in time. */
        LatePage: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Content-Security-Policy": components["headers"]["PagePolicy"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                [name: string]: unknown;
            };
            content: {
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description The form is larger than 16 KiB. */
        TooLargePage: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Content-Security-Policy": components["headers"]["PagePolicy"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                [name: string]: unknown;
            };
            content: {
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description The body is not a form in UTF-8, or it is compressed. */
        UnsupportedPage: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Content-Security-Policy": components["headers"]["PagePolicy"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                [name: string]: unknown;
            };
            content: {
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description Too many wrong passwords or registrations. The password was not checked. */
        ThrottledPage: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Content-Security-Policy": components["headers"]["PagePolicy"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                "Retry-After": components["headers"]["Retry-After"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description The service failed. The log contains the error under the request id. */
        FailurePage: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Content-Security-Policy": components["headers"]["PagePolicy"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                [name: string]: unknown;
            };
            content: {
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description The service is overloaded, or its database is unavailable. */
        UnavailablePage: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Content-Security-Policy": components["headers"]["PagePolicy"];
                "Referrer-Policy": components["headers"]["SameOriginReferrer"];
                "Retry-After": components["headers"]["Retry-After"];
                [name: string]: unknown;
            };
            content: {
                "text/html": components["schemas"]["Page"];
            };
        };
        /** @description The user or the credential does not have a scope, the client requires a more recent sign-in (`login-required`), or a web page of an origin that `CORS_ORIGINS` does not list sent this request. The service changed nothing. */
        AuthorizationForbidden: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "WWW-Authenticate": components["headers"]["ScopeChallenge"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"] & {
                    /** @enum {unknown} */
                    type?: "/problems/insufficient-scope" | "/problems/login-required" | "/problems/cross-site-request";
                    /** @constant */
                    status?: 403;
                };
            };
        };
        /** @description The request is malformed or does not match the contract. */
        OAuthInvalidRequest: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    /** @constant */
                    error?: "invalid_request";
                    /** @constant */
                    error_uri?: "/problems/invalid-request";
                };
            };
        };
        /** @description The request is malformed, or a client with this metadata cannot be registered (RFC 7591, section 3.2.2). */
        OAuthInvalidClientMetadata: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    error?: unknown;
                    /** @enum {unknown} */
                    error_uri?: "/problems/invalid-request" | "/problems/invalid-client-metadata" | "/problems/invalid-redirect-uri";
                };
            };
        };
        /** @description The operation is turned off. */
        OAuthNotFound: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    /** @constant */
                    error?: "invalid_request";
                    /** @constant */
                    error_uri?: "/problems/not-found";
                };
            };
        };
        /** @description The credentials of the caller are missing or not accepted. */
        OAuthUnauthorized: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    error?: unknown;
                    /** @enum {unknown} */
                    error_uri?: "/problems/authentication-required" | "/problems/invalid-client" | "/problems/invalid-credentials" | "/problems/invalid-token" | "/problems/token-expired" | "/problems/token-revoked" | "/problems/dpop-proof-refused";
                };
            };
        };
        /** @description The request is malformed, asks for what the client may not have, or what the client presents is not valid. */
        OAuthGrantRefused: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    error?: unknown;
                    /** @enum {unknown} */
                    error_uri?: "/problems/invalid-request" | "/problems/invalid-grant" | "/problems/invalid-dpop-proof" | "/problems/invalid-scope" | "/problems/invalid-target" | "/problems/unauthorized-client" | "/problems/unsupported-grant-type" | "/problems/authorization-pending" | "/problems/slow-down" | "/problems/device-code-expired" | "/problems/access-denied";
                };
            };
        };
        /** @description The request is malformed, or asks for what the client may not have. */
        OAuthAccessRefused: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    error?: unknown;
                    /** @enum {unknown} */
                    error_uri?: "/problems/invalid-request" | "/problems/invalid-scope" | "/problems/invalid-target" | "/problems/unauthorized-client";
                };
            };
        };
        /** @description The client could not be authenticated. If the request has an `Authorization` header, the challenge is `Basic` (RFC 6749, section 5.2). */
        OAuthClientRefused: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    /** @constant */
                    error?: "invalid_client";
                    /** @constant */
                    error_uri?: "/problems/invalid-client";
                };
            };
        };
        /** @description The caller does not have the scope that the operation requires (RFC 6750, section 3.1), or a web page of an origin that `CORS_ORIGINS` does not list sent this request. */
        OAuthForbidden: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "WWW-Authenticate": components["headers"]["ScopeChallenge"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    error?: unknown;
                    /** @enum {unknown} */
                    error_uri?: "/problems/insufficient-scope" | "/problems/cross-site-request";
                };
            };
        };
        /** @description A web page of an origin that `CORS_ORIGINS` does not list sent this request. The service changed nothing. */
        OAuthCrossSiteRequest: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    /** @constant */
                    error?: "invalid_request";
                    /** @constant */
                    error_uri?: "/problems/cross-site-request";
                };
            };
        };
        /** @description The `Accept` header excludes every media type that this operation can return. */
        OAuthNotAcceptable: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    /** @constant */
                    error?: "invalid_request";
                    /** @constant */
                    error_uri?: "/problems/not-acceptable";
                };
            };
        };
        /** @description The body did not arrive in time. The connection is closed. */
        OAuthRequestTimeout: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    /** @constant */
                    error?: "invalid_request";
                    /** @constant */
                    error_uri?: "/problems/request-timeout";
                };
            };
        };
        /** @description The body is larger than 16 KiB. */
        OAuthPayloadTooLarge: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    /** @constant */
                    error?: "invalid_request";
                    /** @constant */
                    error_uri?: "/problems/payload-too-large";
                };
            };
        };
        /** @description The body is not `application/x-www-form-urlencoded` in UTF-8, or it is compressed. */
        OAuthUnsupportedMediaType: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    /** @constant */
                    error?: "invalid_request";
                    /** @constant */
                    error_uri?: "/problems/unsupported-media-type";
                };
            };
        };
        /** @description Too many wrong passwords or client credentials, or too many new clients. */
        OAuthTooManyRequests: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Retry-After": components["headers"]["Retry-After"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    /** @constant */
                    error?: "temporarily_unavailable";
                    /** @constant */
                    error_uri?: "/problems/too-many-requests";
                };
            };
        };
        /** @description The service failed. The log contains the error under the request id. */
        OAuthServerError: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    /** @constant */
                    error?: "server_error";
                    /** @constant */
                    error_uri?: "/problems/internal-error";
                };
            };
        };
        /** @description The database is unavailable, the revocation list is out of date, or the service is overloaded. Retry after the number of seconds in `Retry-After`. */
        OAuthUnavailable: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                "Retry-After": components["headers"]["Retry-After"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["OAuthError"] & {
                    /** @constant */
                    error?: "temporarily_unavailable";
                    /** @enum {unknown} */
                    error_uri?: "/problems/overloaded" | "/problems/database-unavailable" | "/problems/revocations-stale";
                };
            };
        };
    };
    parameters: {
        /**
         * @description The user's id.
         * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
         */
        UserId: string;
        /**
         * @description The key's id.
         * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
         */
        ApiKeyId: string;
        /**
         * @description The client's id, percent-encoded.
         * @example lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b
         */
        ClientId: components["schemas"]["ClientId"];
        /**
         * @description The maximum number of API keys to return.
         * @example 20
         */
        ApiKeyLimit: number;
        /**
         * @description The `next` of the previous page.
         * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
         */
        ApiKeyAfter: string;
        /**
         * @description A sealed authorization request, from `GET /oauth/authorize`.
         * @example eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..bm9uY2U.c2VhbGVk.dGFn
         */
        SealedAuthorization: components["schemas"]["SealedAuthorization"];
        /**
         * @description A sealed authorization request, from `GET /oauth/authorize`.
         * @example eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..bm9uY2U.c2VhbGVk.dGFn
         */
        RequiredAuthorization: components["schemas"]["SealedAuthorization"];
        /**
         * @description The code that a device shows. The user types it, so it can have any form.
         * @example WDJB-MJHT
         */
        UserCode: string;
        /**
         * @description The session of the browser. A value of another form is ignored.
         * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
         */
        SessionCookie: string;
        /**
         * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
         * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
         */
        BrowserCookie: string;
        /**
         * @description The `authorization_id` of the page.
         * @example eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..c2VhbGVk.YnkgdGhlIHNlcnZpY2U.Zm9yIGEgcGFnZQ
         */
        AuthorizationId: string;
    };
    requestBodies: never;
    headers: {
        /**
         * @description The id of this request. The log contains it.
         * @example 7f5cbb39-8c11-4d31-a2cb-0a1c9f6f8b1e
         */
        "X-Request-Id": string;
        /**
         * @description No cache may store the response.
         * @example no-store
         */
        NoStore: "no-store";
        /**
         * @description Any cache may store the response for five minutes.
         * @example public, max-age=300
         */
        PublicFiveMinutes: "public, max-age=300";
        /**
         * @description Allows only the scripts and styles of the page itself.
         * @example default-src 'none'; script-src 'sha256-…'
         */
        "Content-Security-Policy": string;
        /**
         * @description Allows the style of the page, the logo of `PAGES_LOGO_URL`, and its form. `form-action` also allows the client to which the form leads. No site may show the page in a frame.
         * @example default-src 'none'; style-src 'sha256-…'; form-action 'self' https://app.example; frame-ancestors 'none'
         */
        PagePolicy: string;
        /**
         * @description Other sites do not learn the URL of the page, which contains the authorization request. Without a referrer, browsers would not send the origin of a form.
         * @example same-origin
         */
        SameOriginReferrer: "same-origin";
        /**
         * @description A cookie of the browser. It can be read by this service only, not by scripts, and is sent over HTTPS only.
         * @example __Host-latchkey=01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE; Path=/; Secure; HttpOnly; SameSite=Lax
         */
        PageCookie: string;
        /**
         * @description A page of this service or of your own, or the redirect URI of the client with the result in its query.
         * @example https://app.example/callback?code=pVY2XkqbLZ0mO5vH8sJ3rTn7wQcFd1gUa9eKiR4tB6M&state=af0ifjsldkj&iss=https%3A%2F%2Fauth.example
         */
        Continuation: string;
        /**
         * @description Identifies this version of the content (RFC 9110, section 8.8.3). Each content coding has its own. If a client sends it as `If-None-Match` and the content is unchanged, the response is a 304.
         * @example "oE4y8Zk1sQ2mX7vT-br"
         */
        ETag: string;
        /**
         * @description Identifies this state of the user, for `If-Match` (RFC 9110, section 8.8.3). Blocking and roles change it.
         * @example "3.1"
         */
        UserETag: string;
        /**
         * @description Identifies this state of the client, for `If-Match` (RFC 9110, section 8.8.3). Its secrets do not change it.
         * @example "17"
         */
        ClientETag: string;
        /**
         * @description The response depends on `Accept-Encoding` and, if `CORS_ORIGINS` is set, on `Origin`.
         * @example Accept-Encoding
         */
        Vary: string;
        /**
         * @description The compression of the body, chosen by `Accept-Encoding` (RFC 9110, section 12.5.3). Absent if the body is not compressed.
         * @example br
         */
        "Content-Encoding": "br" | "gzip";
        /** @description The authentication schemes of the operation, one challenge per header line (RFC 9110, section 11.6.1). If a token was rejected, the Bearer challenge contains `error="invalid_token"` (RFC 6750, section 3). If `Sec-Fetch-Dest` shows that a script on a web page made the request, the Basic challenge is omitted, because the browser would open its login dialog. If it was the only challenge, `Password` replaces it. Browsers ignore this scheme; clients still send the username and password with `Basic`. If a DPoP proof was rejected, the only challenge is `DPoP`, with `error="invalid_dpop_proof"` and the algorithms of proofs (RFC 9449, section 7.1). */
        "WWW-Authenticate": string;
        /**
         * @description The scopes that the operation requires (RFC 6750, section 3.1). Present if one of them is missing.
         * @example Bearer realm="latchkey", error="insufficient_scope", scope="users:read"
         */
        ScopeChallenge: string;
        /**
         * @description The user's id. It is the `sub` of tokens.
         * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
         */
        "Latchkey-User-Id": string;
        /**
         * @description The username. A percent sign and characters that are not ASCII are percent-encoded (UTF-8, RFC 3986, section 2.1): decode it as a part of a URL.
         * @example miguel
         */
        "Latchkey-Username": string;
        /**
         * @description What the user and the credential allow, separated by spaces: scopes of the API of `audience`, or of this service.
         * @example orders:read
         */
        "Latchkey-Scope": string;
        /**
         * @description The user's roles without `default`, separated by spaces. If the credential is a token for the API, those of the time when it was issued. Decide by the scopes: a credential may be limited to fewer than its roles have.
         * @example order-clerk
         */
        "Latchkey-Roles": string;
        /**
         * @description The `client_id` of the token. Empty for a password and an API key.
         * @example latchkey
         */
        "Latchkey-Client-Id": string;
        /**
         * @description Always empty, so that a proxy that copies the header removes one that the client sent.
         * @example
         */
        NoIdentity: "";
        /**
         * @description Seconds to wait before retrying the request.
         * @example 2
         */
        "Retry-After": number;
        /**
         * @description The limit that was reached: its name, its quota (`q`) and its window in seconds (`w`) (draft-ietf-httpapi-ratelimit-headers).
         * @example "account-address";q=5;w=900
         */
        "RateLimit-Policy": string;
        /**
         * @description The remaining quota of that limit (`r`), and the seconds until it resets (`t`).
         * @example "account-address";r=0;t=512
         */
        RateLimit: string;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    listUsers: {
        parameters: {
            query?: {
                /**
                 * @description The user with this name, in any case and Unicode normalization. No user has an invalid name.
                 * @example miguel
                 */
                username?: string;
                /**
                 * @description Users whose normalized name begins with this text. It has no wildcards.
                 * @example mi
                 */
                username_prefix?: string;
                /**
                 * @description Only users who are blocked, or only users who are not.
                 * @example false
                 */
                blocked?: boolean;
                /**
                 * @description Users to whom this role is assigned. The role `default` is assigned to nobody, because every user has it.
                 * @example administrator
                 */
                role?: components["schemas"]["RoleName"];
                /**
                 * @description The maximum number of users to return.
                 * @example 20
                 */
                limit?: number;
                /**
                 * @description The `next` of the previous page.
                 * @example miguel
                 */
                after?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of users. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UserPage"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    createUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewUser"];
            };
        };
        responses: {
            /** @description The user was created. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    /**
                     * @description The new user's path.
                     * @example /api/users/01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                     */
                    Location: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["User"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["UsernameTaken"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["PasswordRefused"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getCurrentUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["User"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    deleteUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["PasswordRequired"];
            403: components["responses"]["CrossSiteRequest"];
            409: components["responses"]["LastAdministrator"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    changePassword: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PasswordChange"];
            };
        };
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["PasswordRefused"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The user's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["UserId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["User"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    deleteUserById: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The user's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["UserId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            409: components["responses"]["LastAdministrator"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    updateUser: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description Changes the user only if this is its current `ETag` (RFC 9110, section 13.1.1). `*` is the same as no `If-Match`.
                 * @example "3.1"
                 */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The user's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["UserId"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["UserChange"];
            };
        };
        responses: {
            200: components["responses"]["User"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["LastAdministrator"];
            412: components["responses"]["PreconditionFailed"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    setUserPassword: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The user's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["UserId"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PasswordReplacement"];
            };
        };
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["PasswordRefused"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    listUserSessions: {
        parameters: {
            query?: {
                /**
                 * @description The maximum number of sessions to return.
                 * @example 20
                 */
                limit?: number;
                /**
                 * @description The `next` of the previous page.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                after?: string;
            };
            header?: never;
            path: {
                /**
                 * @description The user's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["UserId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of sessions. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UserSessionPage"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    endUserSessions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The user's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["UserId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    endUserSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The user's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["UserId"];
                /**
                 * @description The session's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                session_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    listUserApiKeys: {
        parameters: {
            query?: {
                /**
                 * @description The maximum number of API keys to return.
                 * @example 20
                 */
                limit?: components["parameters"]["ApiKeyLimit"];
                /**
                 * @description The `next` of the previous page.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                after?: components["parameters"]["ApiKeyAfter"];
            };
            header?: never;
            path: {
                /**
                 * @description The user's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["UserId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["ApiKeyPage"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    deleteUserApiKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The user's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["UserId"];
                /**
                 * @description The key's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                key_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    issueToken: {
        parameters: {
            query?: {
                /**
                 * @description The API that the token is for. By default, this service.
                 * @example https://orders.example/v1
                 */
                audience?: components["schemas"]["Audience"];
                /**
                 * @description The scopes that the token is limited to, separated by single spaces (RFC 6749, section 3.3). By default, all that the user has.
                 * @example orders:read
                 */
                scope?: components["schemas"]["ScopeList"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A new token. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Token"];
                };
            };
            400: components["responses"]["InvalidTokenRequest"];
            401: components["responses"]["PasswordRequired"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    refreshToken: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Refresh"];
            };
        };
        responses: {
            /** @description The new tokens of the session. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionTokens"];
                };
            };
            400: components["responses"]["InvalidTokenRequest"];
            401: components["responses"]["RefreshRefused"];
            403: components["responses"]["CrossSiteRequest"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    revokeToken: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["TokenRequired"];
            403: components["responses"]["CrossSiteRequest"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    listSessions: {
        parameters: {
            query?: {
                /**
                 * @description The maximum number of sessions to return.
                 * @example 20
                 */
                limit?: number;
                /**
                 * @description The `next_cursor` of the previous page.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of sessions. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionPage"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    createSession: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["SessionRequest"];
            };
        };
        responses: {
            /** @description The session and its tokens. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    /**
                     * @description The new session's path.
                     * @example /api/sessions/01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                     */
                    Location: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionTokens"];
                };
            };
            400: components["responses"]["InvalidTokenRequest"];
            401: components["responses"]["PasswordRequired"];
            403: components["responses"]["CrossSiteRequest"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    endAllSessions: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    endSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The session's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    listApiKeys: {
        parameters: {
            query?: {
                /**
                 * @description The maximum number of API keys to return.
                 * @example 20
                 */
                limit?: components["parameters"]["ApiKeyLimit"];
                /**
                 * @description The `next` of the previous page.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                after?: components["parameters"]["ApiKeyAfter"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["ApiKeyPage"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    createApiKey: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewApiKey"];
            };
        };
        responses: {
            201: components["responses"]["ApiKeyCreated"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["TooManyApiKeys"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    revokeApiKey: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ApiKeyRevocation"];
            };
        };
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["CrossSiteRequest"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getApiKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The key's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["ApiKeyId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["ApiKey"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    deleteApiKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The key's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["ApiKeyId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    updateApiKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The key's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["ApiKeyId"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ApiKeyChange"];
            };
        };
        responses: {
            200: components["responses"]["ApiKey"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    rotateApiKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The key's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: components["parameters"]["ApiKeyId"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ApiKeyRotation"];
            };
        };
        responses: {
            201: components["responses"]["ApiKeyCreated"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    listAuditEvents: {
        parameters: {
            query?: {
                /**
                 * @description Only events about this user.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                subject_id?: string;
                /**
                 * @description Only events that this user or client caused.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                actor_id?: string;
                /**
                 * @description Only events with this name.
                 * @example password-refused
                 */
                event?: string;
                /**
                 * @description Only events of the request with this `X-Request-Id`.
                 * @example 7f5cbb39-8c11-4d31-a2cb-0a1c9f6f8b1e
                 */
                request_id?: string;
                /**
                 * @description The maximum number of events to return.
                 * @example 50
                 */
                limit?: number;
                /**
                 * @description The `next` of the previous page.
                 * @example 1042
                 */
                after?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of events. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AuditEventPage"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    listRevocations: {
        parameters: {
            query?: {
                /**
                 * @description The `next` of the previous response.
                 * @example MTsyMDI2LTExLTIzIDA4OjAwOjAwLjEyMzQ1NiswMDsxNzk1NDI2MjAwMDAwOzc1MTI6NzUxMjo
                 */
                after?: string;
                /**
                 * @description How many seconds to wait for new entries.
                 * @example 30
                 */
                wait?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Entries, or none if there were no new ones within `wait`. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RevocationPage"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            406: components["responses"]["NotAcceptable"];
            410: components["responses"]["CursorExpired"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    listRoles: {
        parameters: {
            query?: {
                /**
                 * @description The maximum number of roles to return.
                 * @example 20
                 */
                limit?: number;
                /**
                 * @description The `next` of the previous page.
                 * @example support
                 */
                after?: components["schemas"]["RoleName"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of roles. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RolePage"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getRole: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The role's name.
                 * @example support
                 */
                name: components["schemas"]["RoleName"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The role. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Role"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    putRole: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The role's name.
                 * @example support
                 */
                name: components["schemas"]["RoleName"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RoleDefinition"];
            };
        };
        responses: {
            /** @description The role was replaced. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Role"];
                };
            };
            /** @description The role was created. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    /**
                     * @description The role's path.
                     * @example /api/roles/support
                     */
                    Location: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Role"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["BuiltInRole"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    deleteRole: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The role's name.
                 * @example support
                 */
                name: components["schemas"]["RoleName"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            409: components["responses"]["BuiltInRole"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    listApis: {
        parameters: {
            query?: {
                /**
                 * @description The maximum number of APIs to return.
                 * @example 20
                 */
                limit?: number;
                /**
                 * @description The `next` of the previous page.
                 * @example https://orders.example/v1
                 */
                after?: components["schemas"]["Audience"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of APIs. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiPage"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    createApi: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewApi"];
            };
        };
        responses: {
            /** @description The API was registered. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    /**
                     * @description The API's path.
                     * @example /api/apis/https%3A%2F%2Forders.example%2Fv1
                     */
                    Location: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Api"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["AudienceTaken"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getApi: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The API's audience, percent-encoded.
                 * @example https://orders.example/v1
                 */
                audience: components["schemas"]["Audience"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The API. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Api"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    deleteApi: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The API's audience, percent-encoded.
                 * @example https://orders.example/v1
                 */
                audience: components["schemas"]["Audience"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    updateApi: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The API's audience, percent-encoded.
                 * @example https://orders.example/v1
                 */
                audience: components["schemas"]["Audience"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ApiChange"];
            };
        };
        responses: {
            /** @description The changed API. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Api"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    listClients: {
        parameters: {
            query?: {
                /**
                 * @description The maximum number of clients to return.
                 * @example 20
                 */
                limit?: number;
                /**
                 * @description The `next` of the previous page.
                 * @example lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b
                 */
                after?: components["schemas"]["ClientId"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of clients. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ClientPage"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    createClient: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewClient"];
            };
        };
        responses: {
            /** @description The client was registered. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    /**
                     * @description The client's path.
                     * @example /api/clients/lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b
                     */
                    Location: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CreatedClient"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getClient: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The client's id, percent-encoded.
                 * @example lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b
                 */
                client_id: components["parameters"]["ClientId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Client"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    deleteClient: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description Deletes the client only if this is its current `ETag` (RFC 9110, section 13.1.1). `*` is the same as no `If-Match`.
                 * @example "17"
                 */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The client's id, percent-encoded.
                 * @example lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b
                 */
                client_id: components["parameters"]["ClientId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            412: components["responses"]["PreconditionFailed"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    updateClient: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description Changes the client only if this is its current `ETag` (RFC 9110, section 13.1.1). `*` is the same as no `If-Match`.
                 * @example "17"
                 */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The client's id, percent-encoded.
                 * @example lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b
                 */
                client_id: components["parameters"]["ClientId"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ClientChange"];
            };
        };
        responses: {
            200: components["responses"]["Client"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            412: components["responses"]["PreconditionFailed"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    createClientSecret: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The client's id, percent-encoded.
                 * @example lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b
                 */
                client_id: components["parameters"]["ClientId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The new secret. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CreatedClientSecret"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            409: components["responses"]["TooManyClientSecrets"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    deleteClientSecret: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The client's id, percent-encoded.
                 * @example lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b
                 */
                client_id: components["parameters"]["ClientId"];
                /**
                 * @description The secret's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3c
                 */
                secret_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    forwardAuth: {
        parameters: {
            query?: {
                /**
                 * @description Scopes, separated by single spaces. The request needs all of them. Without the `audience` of an API, they are scopes of this service. They are needed in addition to those of a `contract`.
                 * @example account:read
                 */
                scope?: components["schemas"]["ScopeList"];
                /**
                 * @description The API that the request is for. By default, and with the audience of this service, tokens must be for this service.
                 * @example https://orders.example/v1
                 */
                audience?: components["schemas"]["Audience"];
            };
            header?: {
                /**
                 * @description The method of the original request.
                 * @example GET
                 */
                "X-Forwarded-Method"?: string;
                /**
                 * @description The path and query of the original request, as the client sent them.
                 * @example /orders?page=2
                 */
                "X-Forwarded-Uri"?: string;
                /**
                 * @description The host of the original request. It must be that of `X-Original-URL`, if both are sent.
                 * @example orders.example
                 */
                "X-Forwarded-Host"?: string;
                /**
                 * @description The method of the original request.
                 * @example GET
                 */
                "X-Original-Method"?: string;
                /**
                 * @description The path and query of the original request, as the client sent them.
                 * @example /orders?page=2
                 */
                "X-Original-URI"?: string;
                /**
                 * @description The URL of the original request.
                 * @example https://orders.example/orders?page=2
                 */
                "X-Original-URL"?: string;
                /**
                 * @description With a `contract`, a request that asks the API to treat it as another one is rejected: with this header, `X-HTTP-Method`, `X-Method-Override` or `X-Rewrite-URL`.
                 * @example DELETE
                 */
                "X-HTTP-Method-Override"?: string;
                /**
                 * @description As `X-HTTP-Method-Override`.
                 * @example DELETE
                 */
                "X-HTTP-Method"?: string;
                /**
                 * @description As `X-HTTP-Method-Override`.
                 * @example DELETE
                 */
                "X-Method-Override"?: string;
                /**
                 * @description As `X-HTTP-Method-Override`.
                 * @example /admin
                 */
                "X-Rewrite-URL"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The request may pass. */
            204: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    "Latchkey-User-Id": components["headers"]["Latchkey-User-Id"];
                    "Latchkey-Username": components["headers"]["Latchkey-Username"];
                    "Latchkey-Scope": components["headers"]["Latchkey-Scope"];
                    "Latchkey-Roles": components["headers"]["Latchkey-Roles"];
                    "Latchkey-Client-Id": components["headers"]["Latchkey-Client-Id"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is malformed, names an API or a scope that does not exist, or does not say which operation of the contract it is for. The original request must not pass. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    "Latchkey-User-Id": components["headers"]["NoIdentity"];
                    "Latchkey-Username": components["headers"]["NoIdentity"];
                    "Latchkey-Scope": components["headers"]["NoIdentity"];
                    "Latchkey-Roles": components["headers"]["NoIdentity"];
                    "Latchkey-Client-Id": components["headers"]["NoIdentity"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        type?: "/problems/invalid-request" | "/problems/invalid-scope" | "/problems/invalid-target";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description The credentials are missing or not accepted. */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "Latchkey-User-Id": components["headers"]["NoIdentity"];
                    "Latchkey-Username": components["headers"]["NoIdentity"];
                    "Latchkey-Scope": components["headers"]["NoIdentity"];
                    "Latchkey-Roles": components["headers"]["NoIdentity"];
                    "Latchkey-Client-Id": components["headers"]["NoIdentity"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        type?: "/problems/authentication-required" | "/problems/invalid-credentials" | "/problems/invalid-token" | "/problems/token-expired" | "/problems/token-revoked";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description The user or the credential does not have a scope, or the contract of the API does not declare the operation. */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    "WWW-Authenticate": components["headers"]["ScopeChallenge"];
                    "Latchkey-User-Id": components["headers"]["NoIdentity"];
                    "Latchkey-Username": components["headers"]["NoIdentity"];
                    "Latchkey-Scope": components["headers"]["NoIdentity"];
                    "Latchkey-Roles": components["headers"]["NoIdentity"];
                    "Latchkey-Client-Id": components["headers"]["NoIdentity"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        type?: "/problems/insufficient-scope" | "/problems/undeclared-operation";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description Too many wrong passwords for this account or from this network. The password was not checked. Retry after the number of seconds in `Retry-After`. */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Latchkey-User-Id": components["headers"]["NoIdentity"];
                    "Latchkey-Username": components["headers"]["NoIdentity"];
                    "Latchkey-Scope": components["headers"]["NoIdentity"];
                    "Latchkey-Roles": components["headers"]["NoIdentity"];
                    "Latchkey-Client-Id": components["headers"]["NoIdentity"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @constant */
                        type?: "/problems/too-many-requests";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description The service failed. The log contains the error under the request id. */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    "Latchkey-User-Id": components["headers"]["NoIdentity"];
                    "Latchkey-Username": components["headers"]["NoIdentity"];
                    "Latchkey-Scope": components["headers"]["NoIdentity"];
                    "Latchkey-Roles": components["headers"]["NoIdentity"];
                    "Latchkey-Client-Id": components["headers"]["NoIdentity"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @constant */
                        type?: "/problems/internal-error";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description The database is unavailable, the revocation list is out of date, the service is overloaded, or the stored contract of the API cannot be enforced. Retry after the number of seconds in `Retry-After`. */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "Latchkey-User-Id": components["headers"]["NoIdentity"];
                    "Latchkey-Username": components["headers"]["NoIdentity"];
                    "Latchkey-Scope": components["headers"]["NoIdentity"];
                    "Latchkey-Roles": components["headers"]["NoIdentity"];
                    "Latchkey-Client-Id": components["headers"]["NoIdentity"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        type?: "/problems/overloaded" | "/problems/database-unavailable" | "/problems/revocations-stale" | "/problems/contract-unusable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    getResource: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A greeting. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Resource"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getJwks: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The public keys. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["PublicFiveMinutes"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JwkSet"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            406: components["responses"]["NotAcceptable"];
        };
    };
    getServerMetadata: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["ServerMetadata"];
            400: components["responses"]["InvalidRequest"];
            406: components["responses"]["NotAcceptable"];
        };
    };
    getOpenidConfiguration: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["ServerMetadata"];
            400: components["responses"]["InvalidRequest"];
            406: components["responses"]["NotAcceptable"];
        };
    };
    getResourceMetadata: {
        parameters: {
            query?: {
                /**
                 * @description The audience of the API. By default, this service.
                 * @example https://orders.example/v1
                 */
                resource?: components["schemas"]["Audience"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The metadata. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["PublicFiveMinutes"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ResourceMetadata"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    issueOAuthTokens: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["TokenRequest"];
            };
        };
        responses: {
            /** @description The tokens. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OAuthTokens"];
                };
            };
            400: components["responses"]["OAuthGrantRefused"];
            401: components["responses"]["OAuthClientRefused"];
            403: components["responses"]["OAuthCrossSiteRequest"];
            406: components["responses"]["OAuthNotAcceptable"];
            408: components["responses"]["OAuthRequestTimeout"];
            413: components["responses"]["OAuthPayloadTooLarge"];
            415: components["responses"]["OAuthUnsupportedMediaType"];
            429: components["responses"]["OAuthTooManyRequests"];
            500: components["responses"]["OAuthServerError"];
            503: components["responses"]["OAuthUnavailable"];
        };
    };
    startDeviceAuthorization: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["DeviceAuthorizationRequest"];
            };
        };
        responses: {
            /** @description The codes. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DeviceAuthorization"];
                };
            };
            400: components["responses"]["OAuthAccessRefused"];
            401: components["responses"]["OAuthClientRefused"];
            403: components["responses"]["OAuthCrossSiteRequest"];
            406: components["responses"]["OAuthNotAcceptable"];
            408: components["responses"]["OAuthRequestTimeout"];
            413: components["responses"]["OAuthPayloadTooLarge"];
            415: components["responses"]["OAuthUnsupportedMediaType"];
            429: components["responses"]["OAuthTooManyRequests"];
            500: components["responses"]["OAuthServerError"];
            503: components["responses"]["OAuthUnavailable"];
        };
    };
    getUserinfo: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The user. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Userinfo"];
                };
            };
            400: components["responses"]["OAuthInvalidRequest"];
            401: components["responses"]["OAuthUnauthorized"];
            403: components["responses"]["OAuthForbidden"];
            406: components["responses"]["OAuthNotAcceptable"];
            500: components["responses"]["OAuthServerError"];
            503: components["responses"]["OAuthUnavailable"];
        };
    };
    postUserinfo: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The user. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Userinfo"];
                };
            };
            400: components["responses"]["OAuthInvalidRequest"];
            401: components["responses"]["OAuthUnauthorized"];
            403: components["responses"]["OAuthForbidden"];
            406: components["responses"]["OAuthNotAcceptable"];
            500: components["responses"]["OAuthServerError"];
            503: components["responses"]["OAuthUnavailable"];
        };
    };
    introspectToken: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["IntrospectionRequest"];
            };
        };
        responses: {
            /** @description What the service knows about the token. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Introspection"];
                };
            };
            400: components["responses"]["OAuthInvalidRequest"];
            401: components["responses"]["OAuthUnauthorized"];
            403: components["responses"]["OAuthForbidden"];
            406: components["responses"]["OAuthNotAcceptable"];
            408: components["responses"]["OAuthRequestTimeout"];
            413: components["responses"]["OAuthPayloadTooLarge"];
            415: components["responses"]["OAuthUnsupportedMediaType"];
            429: components["responses"]["OAuthTooManyRequests"];
            500: components["responses"]["OAuthServerError"];
            503: components["responses"]["OAuthUnavailable"];
        };
    };
    registerClient: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ClientMetadata"];
            };
        };
        responses: {
            /** @description The client was registered. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ClientRegistration"];
                };
            };
            400: components["responses"]["OAuthInvalidClientMetadata"];
            403: components["responses"]["OAuthCrossSiteRequest"];
            404: components["responses"]["OAuthNotFound"];
            406: components["responses"]["OAuthNotAcceptable"];
            408: components["responses"]["OAuthRequestTimeout"];
            413: components["responses"]["OAuthPayloadTooLarge"];
            415: components["responses"]["OAuthUnsupportedMediaType"];
            429: components["responses"]["OAuthTooManyRequests"];
            500: components["responses"]["OAuthServerError"];
            503: components["responses"]["OAuthUnavailable"];
        };
    };
    revokeOAuthToken: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["RevocationRequest"];
            };
        };
        responses: {
            200: components["responses"]["Done"];
            400: components["responses"]["OAuthInvalidRequest"];
            401: components["responses"]["OAuthClientRefused"];
            403: components["responses"]["OAuthCrossSiteRequest"];
            408: components["responses"]["OAuthRequestTimeout"];
            413: components["responses"]["OAuthPayloadTooLarge"];
            415: components["responses"]["OAuthUnsupportedMediaType"];
            429: components["responses"]["OAuthTooManyRequests"];
            500: components["responses"]["OAuthServerError"];
            503: components["responses"]["OAuthUnavailable"];
        };
    };
    authorize: {
        parameters: {
            query?: {
                /**
                 * @description `code`.
                 * @example code
                 */
                response_type?: string;
                /**
                 * @description The client's id. Required.
                 * @example lkc_019a3c5e7f007a1b8c2d3e4f5a6b7c8d
                 */
                client_id?: string;
                /**
                 * @description Where the browser returns to: exactly one of the registered URIs. Only the port of `http://127.0.0.1` and `http://[::1]` may differ. Required if the client has several.
                 * @example https://app.example/callback
                 */
                redirect_uri?: string;
                /**
                 * @description The SHA-256 digest of the code verifier, in base64url (RFC 7636, section 4.2). Required.
                 * @example E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM
                 */
                code_challenge?: string;
                /**
                 * @description `S256`. Required.
                 * @example S256
                 */
                code_challenge_method?: string;
                /**
                 * @description Returned to the client as it is.
                 * @example af0ifjsldkj
                 */
                state?: string;
                /**
                 * @description What the client asks for, separated by spaces. Without it, all scopes of the client that belong to the audience. Those that the user does not have are left out.
                 * @example openid account:read
                 */
                scope?: string;
                /**
                 * @description The audience of the tokens (RFC 8707). Without it, the scopes decide.
                 * @example https://orders.example/v1
                 */
                resource?: string;
                /**
                 * @description Returned in the ID token.
                 * @example n-0S6_WzA2Mj
                 */
                nonce?: string;
                /**
                 * @description `none` (no page is shown), or any of `login` (the user signs in again), `select_account` (as `login`) and `consent` (the user is asked even if they have allowed it before), separated by spaces. If the team has pages of its own (`AUTHORIZATION_PAGE_URL`), the response to `none` is always `login_required`.
                 * @example login
                 */
                prompt?: string;
                /**
                 * @description The maximum age of the sign-in, in seconds. If it is older, the user signs in again.
                 * @example 3600
                 */
                max_age?: string;
                /**
                 * @description The username that the client expects.
                 * @example miguel
                 */
                login_hint?: string;
                /**
                 * @description An ID token of the client. Only its user gets a code: if another one is signed in, the browser continues at the sign-in page, or with `prompt=none` returns with `login_required`. The token may have expired. If it is another client's, or the key that signed it is no longer published, the error is `invalid_request`.
                 * @example eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwMSJ9.c2lnbmF0dXJl
                 */
                id_token_hint?: string;
                /**
                 * @description The thumbprint of the key that the tokens are to be bound to (RFC 9449, section 10).
                 * @example 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I
                 */
                dpop_jkt?: string;
                /**
                 * @description `query`, which is the default.
                 * @example query
                 */
                response_mode?: string;
            };
            header?: never;
            path?: never;
            cookie?: {
                /**
                 * @description The session of the browser. A value of another form is ignored.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
                 */
                "__Host-latchkey"?: components["parameters"]["SessionCookie"];
                /**
                 * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
                 * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
                 */
                "__Host-latchkey-browser"?: components["parameters"]["BrowserCookie"];
            };
        };
        requestBody?: never;
        responses: {
            /** @description The browser continues at a page, or returns to the client. */
            303: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    Location: components["headers"]["Continuation"];
                    "Set-Cookie": components["headers"]["PageCookie"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadPage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    submitAuthorizationRequest: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["AuthorizationRequest"];
            };
        };
        responses: {
            /** @description The same request as a GET. */
            303: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    Location: components["headers"]["Continuation"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadPage"];
            408: components["responses"]["LatePage"];
            413: components["responses"]["TooLargePage"];
            415: components["responses"]["UnsupportedPage"];
        };
    };
    getAuthorization: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The `authorization_id` of the page.
                 * @example eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..c2VhbGVk.YnkgdGhlIHNlcnZpY2U.Zm9yIGEgcGFnZQ
                 */
                id: components["parameters"]["AuthorizationId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The client and what it asks for. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Authorization"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["AuthorizationForbidden"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    decideAuthorization: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The `authorization_id` of the page.
                 * @example eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..c2VhbGVk.YnkgdGhlIHNlcnZpY2U.Zm9yIGEgcGFnZQ
                 */
                id: components["parameters"]["AuthorizationId"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["AuthorizationDecision"];
            };
        };
        responses: {
            /** @description Where the browser continues. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AuthorizationResult"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["AuthorizationForbidden"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    listGrants: {
        parameters: {
            query?: {
                /**
                 * @description The maximum number of grants to return.
                 * @example 20
                 */
                limit?: number;
                /**
                 * @description The `next_cursor` of the previous page.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of grants. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["GrantPage"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["InsufficientScope"];
            406: components["responses"]["NotAcceptable"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    deleteGrant: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The grant's id.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: components["responses"]["Done"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getSignInPage: {
        parameters: {
            query?: {
                /**
                 * @description A sealed authorization request, from `GET /oauth/authorize`.
                 * @example eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..bm9uY2U.c2VhbGVk.dGFn
                 */
                authorization?: components["parameters"]["SealedAuthorization"];
                /**
                 * @description The code that a device shows. The user types it, so it can have any form.
                 * @example WDJB-MJHT
                 */
                user_code?: components["parameters"]["UserCode"];
            };
            header?: never;
            path?: never;
            cookie?: {
                /**
                 * @description The session of the browser. A value of another form is ignored.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
                 */
                "__Host-latchkey"?: components["parameters"]["SessionCookie"];
                /**
                 * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
                 * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
                 */
                "__Host-latchkey-browser"?: components["parameters"]["BrowserCookie"];
            };
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Page"];
            400: components["responses"]["BadPage"];
            406: components["responses"]["UnacceptablePage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    signIn: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: {
                /**
                 * @description The session of the browser. A value of another form is ignored.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
                 */
                "__Host-latchkey"?: components["parameters"]["SessionCookie"];
                /**
                 * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
                 * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
                 */
                "__Host-latchkey-browser"?: components["parameters"]["BrowserCookie"];
            };
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["SignInForm"];
            };
        };
        responses: {
            303: components["responses"]["SeeOther"];
            400: components["responses"]["BadPage"];
            403: components["responses"]["CrossSitePage"];
            408: components["responses"]["LatePage"];
            413: components["responses"]["TooLargePage"];
            415: components["responses"]["UnsupportedPage"];
            429: components["responses"]["ThrottledPage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    getSignUpPage: {
        parameters: {
            query?: {
                /**
                 * @description A sealed authorization request, from `GET /oauth/authorize`.
                 * @example eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..bm9uY2U.c2VhbGVk.dGFn
                 */
                authorization?: components["parameters"]["SealedAuthorization"];
                /**
                 * @description The code that a device shows. The user types it, so it can have any form.
                 * @example WDJB-MJHT
                 */
                user_code?: components["parameters"]["UserCode"];
            };
            header?: never;
            path?: never;
            cookie?: {
                /**
                 * @description The session of the browser. A value of another form is ignored.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
                 */
                "__Host-latchkey"?: components["parameters"]["SessionCookie"];
                /**
                 * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
                 * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
                 */
                "__Host-latchkey-browser"?: components["parameters"]["BrowserCookie"];
            };
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Page"];
            400: components["responses"]["BadPage"];
            404: components["responses"]["MissingPage"];
            406: components["responses"]["UnacceptablePage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    signUp: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: {
                /**
                 * @description The session of the browser. A value of another form is ignored.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
                 */
                "__Host-latchkey"?: components["parameters"]["SessionCookie"];
                /**
                 * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
                 * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
                 */
                "__Host-latchkey-browser"?: components["parameters"]["BrowserCookie"];
            };
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["SignUpForm"];
            };
        };
        responses: {
            303: components["responses"]["SeeOther"];
            400: components["responses"]["BadPage"];
            403: components["responses"]["CrossSitePage"];
            404: components["responses"]["MissingPage"];
            408: components["responses"]["LatePage"];
            413: components["responses"]["TooLargePage"];
            415: components["responses"]["UnsupportedPage"];
            429: components["responses"]["ThrottledPage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    getConsentPage: {
        parameters: {
            query: {
                /**
                 * @description A sealed authorization request, from `GET /oauth/authorize`.
                 * @example eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..bm9uY2U.c2VhbGVk.dGFn
                 */
                authorization: components["parameters"]["RequiredAuthorization"];
            };
            header?: never;
            path?: never;
            cookie?: {
                /**
                 * @description The session of the browser. A value of another form is ignored.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
                 */
                "__Host-latchkey"?: components["parameters"]["SessionCookie"];
                /**
                 * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
                 * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
                 */
                "__Host-latchkey-browser"?: components["parameters"]["BrowserCookie"];
            };
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Page"];
            303: components["responses"]["SeeOther"];
            400: components["responses"]["BadPage"];
            406: components["responses"]["UnacceptablePage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    decideConsent: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: {
                /**
                 * @description The session of the browser. A value of another form is ignored.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
                 */
                "__Host-latchkey"?: components["parameters"]["SessionCookie"];
                /**
                 * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
                 * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
                 */
                "__Host-latchkey-browser"?: components["parameters"]["BrowserCookie"];
            };
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["ConsentForm"];
            };
        };
        responses: {
            303: components["responses"]["SeeOther"];
            400: components["responses"]["BadPage"];
            403: components["responses"]["CrossSitePage"];
            408: components["responses"]["LatePage"];
            413: components["responses"]["TooLargePage"];
            415: components["responses"]["UnsupportedPage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    getDevicePage: {
        parameters: {
            query?: {
                /**
                 * @description The code that a device shows. The user types it, so it can have any form.
                 * @example WDJB-MJHT
                 */
                user_code?: components["parameters"]["UserCode"];
            };
            header?: never;
            path?: never;
            cookie?: {
                /**
                 * @description The session of the browser. A value of another form is ignored.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
                 */
                "__Host-latchkey"?: components["parameters"]["SessionCookie"];
                /**
                 * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
                 * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
                 */
                "__Host-latchkey-browser"?: components["parameters"]["BrowserCookie"];
            };
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Page"];
            303: components["responses"]["SeeOther"];
            400: components["responses"]["BadPage"];
            406: components["responses"]["UnacceptablePage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    decideDevice: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: {
                /**
                 * @description The session of the browser. A value of another form is ignored.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
                 */
                "__Host-latchkey"?: components["parameters"]["SessionCookie"];
                /**
                 * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
                 * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
                 */
                "__Host-latchkey-browser"?: components["parameters"]["BrowserCookie"];
            };
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["DeviceForm"];
            };
        };
        responses: {
            200: components["responses"]["Page"];
            303: components["responses"]["SeeOther"];
            400: components["responses"]["BadPage"];
            403: components["responses"]["CrossSitePage"];
            406: components["responses"]["UnacceptablePage"];
            408: components["responses"]["LatePage"];
            413: components["responses"]["TooLargePage"];
            415: components["responses"]["UnsupportedPage"];
            429: components["responses"]["ThrottledPage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    getSignOutPage: {
        parameters: {
            query?: {
                /**
                 * @description An ID token of the client. It may have expired.
                 * @example eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwMSJ9.c2lnbmF0dXJl
                 */
                id_token_hint?: string;
                /**
                 * @description The client's id, if there is no `id_token_hint`.
                 * @example lkc_01932f6e8f8a7c3a9d6c0d0f5b1c2a3b
                 */
                client_id?: components["schemas"]["PresentedClientId"];
                /**
                 * @description Where the user returns to. One of the client's registered URIs.
                 * @example https://app.example/signed-out
                 */
                post_logout_redirect_uri?: components["schemas"]["PostLogoutRedirectUri"];
                /**
                 * @description Added to `post_logout_redirect_uri`.
                 * @example af0ifjsldkj
                 */
                state?: components["schemas"]["ReturnedState"];
            };
            header?: never;
            path?: never;
            cookie?: {
                /**
                 * @description The session of the browser. A value of another form is ignored.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
                 */
                "__Host-latchkey"?: components["parameters"]["SessionCookie"];
                /**
                 * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
                 * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
                 */
                "__Host-latchkey-browser"?: components["parameters"]["BrowserCookie"];
            };
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Page"];
            303: components["responses"]["SeeOther"];
            400: components["responses"]["BadPage"];
            406: components["responses"]["UnacceptablePage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    submitSignOutRequest: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["SignOutRequest"];
            };
        };
        responses: {
            303: components["responses"]["SeeOther"];
            400: components["responses"]["BadPage"];
            408: components["responses"]["LatePage"];
            413: components["responses"]["TooLargePage"];
            415: components["responses"]["UnsupportedPage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    signOut: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: {
                /**
                 * @description The session of the browser. A value of another form is ignored.
                 * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE
                 */
                "__Host-latchkey"?: components["parameters"]["SessionCookie"];
                /**
                 * @description Binds authorization requests and forms to the browser, even before a user has signed in. A value of another form is ignored.
                 * @example Rk3nV8yXw1tQz6bH0cJ5mLpA9eGoiSdF2uY7vZkq3mX
                 */
                "__Host-latchkey-browser"?: components["parameters"]["BrowserCookie"];
            };
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["SignOutForm"];
            };
        };
        responses: {
            303: components["responses"]["SeeOther"];
            400: components["responses"]["BadPage"];
            403: components["responses"]["CrossSitePage"];
            408: components["responses"]["LatePage"];
            413: components["responses"]["TooLargePage"];
            415: components["responses"]["UnsupportedPage"];
            500: components["responses"]["FailurePage"];
            503: components["responses"]["UnavailablePage"];
        };
    };
    getLiveness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Health"];
            400: components["responses"]["InvalidRequest"];
            406: components["responses"]["NotAcceptable"];
        };
    };
    getReadiness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Health"];
            400: components["responses"]["InvalidRequest"];
            406: components["responses"]["NotAcceptable"];
            503: components["responses"]["NotReady"];
        };
    };
    getIndex: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Index"];
            400: components["responses"]["InvalidRequest"];
            406: components["responses"]["NotAcceptable"];
        };
    };
    getApiIndex: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Index"];
            400: components["responses"]["InvalidRequest"];
            406: components["responses"]["NotAcceptable"];
        };
    };
    getDocs: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The guide and the reference. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["PublicFiveMinutes"];
                    ETag: components["headers"]["ETag"];
                    Vary: components["headers"]["Vary"];
                    "Content-Encoding": components["headers"]["Content-Encoding"];
                    "Content-Security-Policy": components["headers"]["Content-Security-Policy"];
                    [name: string]: unknown;
                };
                content: {
                    "text/html": components["schemas"]["Page"];
                };
            };
            304: components["responses"]["PageNotModified"];
            400: components["responses"]["InvalidRequest"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
        };
    };
    getOpenapiYaml: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The contract. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["PublicFiveMinutes"];
                    ETag: components["headers"]["ETag"];
                    Vary: components["headers"]["Vary"];
                    "Content-Encoding": components["headers"]["Content-Encoding"];
                    [name: string]: unknown;
                };
                content: {
                    "application/yaml": string;
                };
            };
            304: components["responses"]["NotModified"];
            400: components["responses"]["InvalidRequest"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
        };
    };
    getOpenapiJson: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The contract. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["PublicFiveMinutes"];
                    ETag: components["headers"]["ETag"];
                    Vary: components["headers"]["Vary"];
                    "Content-Encoding": components["headers"]["Content-Encoding"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OpenApiDocument"];
                };
            };
            304: components["responses"]["NotModified"];
            400: components["responses"]["InvalidRequest"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
        };
    };
    getProblem: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The last segment of the problem's `type`.
                 * @example token-expired
                 */
                slug: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The problem page. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["PublicFiveMinutes"];
                    "Content-Security-Policy": components["headers"]["Content-Security-Policy"];
                    [name: string]: unknown;
                };
                content: {
                    "text/html": components["schemas"]["Page"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            404: components["responses"]["NotFound"];
            406: components["responses"]["NotAcceptable"];
        };
    };
}
