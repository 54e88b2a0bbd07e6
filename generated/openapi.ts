// Generated from openapi.yaml by `npm run generate`. Do not edit.
export interface paths {
    "/api/users": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Register a user
         * @description Usernames are compared without regard to case and normal form (RFC 8265, UsernameCaseMapped) and are answered in the form in which they are kept.
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
         * Read oneself
         * @description Who the sent credentials belong to.
         */
        get: operations["getCurrentUser"];
        put?: never;
        post?: never;
        /**
         * Delete oneself
         * @description Asks for the password itself. Every token of the user stops working, and the username is free again. Cannot be undone.
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
         * @description Every token of the user stops working, the one that was sent with this request too. A wrong `current_password` is a 401 `invalid-credentials`.
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
         * Read a user
         * @description One's own id only; another user's id answers as one that does not exist.
         */
        get: operations["getUser"];
        put?: never;
        post?: never;
        delete?: never;
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
         * Take a token
         * @description Asks for the password itself, so that a leaked token cannot prolong itself. The token is a signed JWT (RFC 9068) that carries the user's id and expires after `duration` seconds. Its `iss` and `aud` are `PUBLIC_URL`, or `http://127.0.0.1:8080` without it; its `client_id` is `latchkey`.
         */
        get: operations["issueToken"];
        put?: never;
        /**
         * Refresh a session
         * @description The refresh token is the credential, and is used up by this: the answer has its successor. A client that sends the same one again within a few seconds (`REFRESH_GRACE_SECONDS`), because the answer was lost or another tab was faster, gets that same successor. Later, or from another network, it counts as stolen: the session ends, with all its tokens.
         */
        post: operations["refreshToken"];
        /**
         * Revoke the token
         * @description The token that is sent stops working, and its session ends if it has one: here at once, on every other instance within a second.
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
         * List one's sessions
         * @description Those that are still alive, the newest first.
         */
        get: operations["listSessions"];
        put?: never;
        /**
         * Sign in
         * @description Begins a session: an access token for a short time, and a refresh token to get the next one with, until the session has been idle or has lasted for too long. A user has a limited number of sessions (`SESSIONS_PER_USER`): one more ends the oldest. Asks for the password itself.
         */
        post: operations["createSession"];
        /**
         * Sign out everywhere
         * @description Every session of the user ends, and every token of the user stops working, this one too.
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
         * @description One's own only; its tokens stop working.
         */
        delete: operations["endSession"];
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
         * Read the protected resource
         * @description Greets whoever the credentials belong to.
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
         * Read the keys that verify tokens
         * @description A JWK Set (RFC 7517), for a service that verifies tokens by itself. A new key is in it for longer than this answer may be cached before it signs. Such a service does not learn of revocations before a token expires.
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
    "/livez": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Is the process alive?
         * @description Looks at nothing but itself. When this does not answer, restart the process.
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
         * Should this instance get traffic?
         * @description Asks the database whether it answers, whether its schema has everything that this version needs, and whether it can be written to. Says no from the moment that the instance is asked to stop, while it still serves what is sent to it.
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
         * Find the parts of this service
         * @description Links to the documentation and to the most used paths, as a page for browsers and as JSON for programs.
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
         * Find the parts of the API
         * @description The same index as at `/`.
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
         * Read this documentation
         * @description A page of its own that works offline.
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
         * Read the contract as YAML
         * @description The very file that this service is driven by.
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
         * Read the contract as JSON
         * @description The same contract for tools that want JSON.
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
         * Read what a problem means
         * @description Where the `type` of every problem leads.
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
        /** @description Who wants to register. */
        NewUser: {
            /**
             * @description 1 to 64 code points after normalisation, no colon, no spaces, no control characters (RFC 8265, UsernameCaseMapped, with the characters of Unicode 15.0). An e-mail address is a username.
             * @example miguel
             */
            username: string;
            password: components["schemas"]["NewPassword"];
        };
        /**
         * Format: password
         * @description 15 (`PASSWORD_MIN_LENGTH`) to 128 code points after normalisation (RFC 8265, OpaqueString); not easy to guess, and without the username in it. There are no rules of composition: three or four unrelated words are good.
         * @example correct horse battery
         */
        NewPassword: string;
        /** @description The password as it is and as it shall be. */
        PasswordChange: {
            /**
             * Format: password
             * @description The password as it is.
             * @example correct horse battery
             */
            current_password: string;
            new_password: components["schemas"]["NewPassword"];
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
             * @description In the form in which it is kept, which is lower case.
             * @example miguel
             */
            username: string;
            /**
             * Format: date-time
             * @description When the user registered.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
        };
        /** @description A token and how long it works. */
        Token: {
            /**
             * @description A signed JWT (RFC 9068). Do not look into it; it may change its shape.
             * @example eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6IjEifQ.eyJzdWIiOiIxIn0.c2lnbmF0dXJl
             */
            token: string;
            /**
             * @description Seconds until it expires.
             * @example 600
             */
            duration: number;
        };
        /** @description A refresh token to be used. */
        Refresh: {
            refresh_token: components["schemas"]["RefreshToken"];
        };
        /**
         * Format: password
         * @description The session's id and a secret. Works once.
         * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.AAAAAG9uZSByZWZyZXNoIHRva2VuLCBhbmQgbm90IGEgcmVhbA
         */
        RefreshToken: string;
        /** @description The tokens of a session, named as OAuth 2.0 names them (RFC 6749, section 5.1). */
        SessionTokens: {
            /**
             * Format: uuid
             * @description The session's id.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            id: string;
            /**
             * @description What `Bearer` takes.
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
            refresh_token: components["schemas"]["RefreshToken"];
            /**
             * @description Seconds until the session ends, if it is not refreshed before.
             * @example 1209600
             */
            refresh_expires_in: number;
        };
        /** @description Some of one's sessions. */
        SessionPage: {
            /** @description The newest first. */
            sessions: components["schemas"]["Session"][];
            /**
             * Format: uuid
             * @description Where the next page begins; null on the last one.
             * @example null
             */
            next_cursor: string | null;
        };
        /** @description A session that is still alive. */
        Session: {
            /**
             * Format: uuid
             * @description The session's id.
             * @example 01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
             */
            id: string;
            /**
             * Format: date-time
             * @description When it began.
             * @example 2026-11-23T09:30:00.000Z
             */
            created_at: string;
            /**
             * Format: date-time
             * @description When it was last refreshed, to the hour. A refresh shows once the hour is over, so that polling does not tell when a refresh token is used.
             * @example 2026-11-23T12:00:00.000Z
             */
            last_used_at: string;
            /**
             * Format: date-time
             * @description When it ends at the latest, if it is not refreshed again. Like `last_used_at`, to the hour.
             * @example 2026-12-07T13:00:00.000Z
             */
            expires_at: string;
            /**
             * @description What the client called itself when the session began.
             * @example curl/8.5.0
             */
            user_agent: string | null;
            /**
             * @description Where it was last refreshed from, or began.
             * @example 192.0.2.7
             */
            address: string | null;
            /**
             * @description Whether the sent token is of this session.
             * @example true
             */
            current: boolean;
        };
        /** @description What is being protected. */
        Resource: {
            /**
             * @description A greeting.
             * @example Hello, miguel!
             */
            data: string;
        };
        /** @description A JWK Set (RFC 7517). */
        JwkSet: {
            /** @description The keys that tokens may be signed with. */
            keys: components["schemas"]["Jwk"][];
        };
        /** @description An Ed25519 public key (RFC 8037). */
        Jwk: {
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
             * @description The only algorithm it is used with.
             * @example EdDSA
             * @constant
             */
            alg: "EdDSA";
            /**
             * @description For signatures.
             * @example sig
             * @constant
             */
            use: "sig";
            /**
             * @description The key's RFC 7638 thumbprint.
             * @example kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k
             */
            kid: string;
            /**
             * @description The public key.
             * @example 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo
             */
            x: string;
        };
        /** @description The answer of a healthy instance. */
        Health: {
            /**
             * @description Always `ok`.
             * @example ok
             * @constant
             */
            status: "ok";
        };
        /** @description The parts of the service, each as a path on its host. */
        Index: {
            /**
             * @description Which program this is.
             * @example Latchkey
             * @constant
             */
            name: "Latchkey";
            /**
             * Format: uri-reference
             * @description The guide and the reference. Absent where `DOCUMENTATION` is off, like `openapi`.
             * @example /docs
             */
            documentation?: string;
            /**
             * Format: uri-reference
             * @description The contract.
             * @example /openapi.json
             */
            openapi?: string;
            /**
             * Format: uri-reference
             * @description Where to register.
             * @example /api/users
             */
            users: string;
            /**
             * Format: uri-reference
             * @description Where to get a token.
             * @example /api/token
             */
            token: string;
            /**
             * Format: uri-reference
             * @description Where to sign in.
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
             * @description Whether this instance should get traffic.
             * @example /readyz
             */
            readiness: string;
        };
        /** @description An HTML page. */
        Page: string;
        /** @description An OpenAPI 3.1 document; its fields are OpenAPI's. */
        OpenApiDocument: {
            /**
             * @description The version of OpenAPI.
             * @example 3.1.0
             */
            openapi: string;
            /** @description What the contract is about. */
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
        /** @description What went wrong (RFC 9457). */
        Problem: {
            /**
             * @description Which problem it is. Stable, and a page of this service.
             * @example /problems/token-expired
             * @enum {string}
             */
            type: "/problems/invalid-request" | "/problems/authentication-required" | "/problems/invalid-credentials" | "/problems/invalid-token" | "/problems/token-expired" | "/problems/token-revoked" | "/problems/token-reused" | "/problems/cross-site-request" | "/problems/not-found" | "/problems/method-not-allowed" | "/problems/not-acceptable" | "/problems/request-timeout" | "/problems/username-taken" | "/problems/payload-too-large" | "/problems/unsupported-media-type" | "/problems/password-refused" | "/problems/too-many-requests" | "/problems/internal-error" | "/problems/overloaded" | "/problems/database-unavailable" | "/problems/revocations-stale" | "/problems/schema-mismatch" | "/problems/shutting-down";
            /**
             * @description The problem in a few words, the same for every problem of its type.
             * @example The token has expired
             */
            title: string;
            /**
             * @description The status of the answer.
             * @example 401
             */
            status: number;
            /**
             * @description This very case, for people. Never for programs.
             * @example The token expired at 2026-11-23T09:40:00Z.
             */
            detail?: string;
            /**
             * Format: uri
             * @description The id of the request, as a URN.
             * @example urn:uuid:7f5cbb39-8c11-4d31-a2cb-0a1c9f6f8b1e
             */
            instance: string;
            /** @description Each place of the request that is wrong. */
            errors?: components["schemas"]["RequestError"][];
            reason?: components["schemas"]["PasswordRefusal"];
        };
        /**
         * @description Why a password was refused.
         * @example too-short
         * @enum {string}
         */
        PasswordRefusal: "too-short" | "too-long" | "too-common" | "too-predictable" | "contains-username";
        /** @description A place of the request, and what is wrong with it. */
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
         * @description What is wrong, for people.
         * @example is required
         */
        RequestErrorDetail: string;
    };
    responses: {
        /** @description The user. */
        User: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["User"];
            };
        };
        /** @description Done. There is nothing to say. */
        Done: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "Cache-Control": components["headers"]["NoStore"];
                [name: string]: unknown;
            };
            content?: never;
        };
        /** @description Yes. */
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
                 * @description The answer depends on `Accept`, and with `CORS_ORIGINS` on `Origin`.
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
        /** @description What `If-None-Match` names is still the answer (RFC 9110, section 13.1.2). */
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
        /** @description What `If-None-Match` names is still the page (RFC 9110, section 13.1.2). */
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
        /** @description The request is not well-formed or not what the contract asks for. */
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
        /** @description No credentials, or none that are accepted. */
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
                    type?: "/problems/authentication-required" | "/problems/invalid-credentials" | "/problems/invalid-token" | "/problems/token-expired" | "/problems/token-revoked";
                    /** @constant */
                    status?: 401;
                };
            };
        };
        /** @description No username and password, or not the right ones. A token is not enough here. */
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
        /** @description No token, or none that is accepted. A password is not enough here. */
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
                    type?: "/problems/authentication-required" | "/problems/invalid-token" | "/problems/token-expired" | "/problems/token-revoked";
                    /** @constant */
                    status?: 401;
                };
            };
        };
        /** @description The refresh token is not accepted; `type` says why. The person has to sign in again. */
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
        /** @description A page of another origin that is not in `CORS_ORIGINS` asked a browser for this. The credentials were not checked, and nothing was done. */
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
        /** @description There is no such thing for these credentials. */
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
        /** @description The `Accept` header rules out what this operation answers with. */
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
        /** @description Somebody has that username, in this or another case or normal form. */
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
        /** @description The body is larger than 16 KiB. */
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
        /** @description The body is not `application/json` in UTF-8 without a content encoding. */
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
        /** @description The password is well-formed, but not one to protect an account with. */
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
        /** @description Too many wrong passwords for this account or from this network, or too many registrations from it. The password was not checked. The limit ends by itself after the seconds in `Retry-After`. */
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
        /** @description A fault of the service. Nothing more is said here; the log knows it by its request id. */
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
        /** @description The database does not answer, or more passwords are waiting to be checked than can be in good time. Nothing was changed, or it is not known whether it was; trying again is right. */
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
        /** @description Not now; the database is away, its schema is not what this version needs, or the instance is about to stop. */
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
    };
    parameters: never;
    requestBodies: never;
    headers: {
        /**
         * @description Names this request in the log.
         * @example 7f5cbb39-8c11-4d31-a2cb-0a1c9f6f8b1e
         */
        "X-Request-Id": string;
        /**
         * @description Not to be kept by any cache.
         * @example no-store
         */
        NoStore: "no-store";
        /**
         * @description May be kept by anyone for five minutes.
         * @example public, max-age=300
         */
        PublicFiveMinutes: "public, max-age=300";
        /**
         * @description Allows the page's own scripts and styles, and nothing from elsewhere.
         * @example default-src 'none'; script-src 'sha256-…'
         */
        "Content-Security-Policy": string;
        /**
         * @description Identifies these bytes (RFC 9110, section 8.8.3). Each content coding has its own. Send it as `If-None-Match` to get a 304 in place of the same bytes.
         * @example "oE4y8Zk1sQ2mX7vT-br"
         */
        ETag: string;
        /**
         * @description The answer depends on `Accept-Encoding`, and with `CORS_ORIGINS` on `Origin`.
         * @example Accept-Encoding
         */
        Vary: string;
        /**
         * @description How the body is compressed; absent where it is not. Chosen by `Accept-Encoding` (RFC 9110, section 12.5.3).
         * @example br
         */
        "Content-Encoding": "br" | "gzip";
        /** @description What the operation accepts, a challenge a line (RFC 9110, section 11.6.1). The Bearer challenge says `error="invalid_token"` when a token was sent and not accepted (RFC 6750, section 3). Where `Sec-Fetch-Dest` says that a page made the request, and not somebody who opened it, the Basic challenge is left out, since the browser would open its login dialog. Where it is the only one, `Password`, which browsers do not know, takes its place: it stands for a username and password, which are sent with `Basic` all the same. */
        "WWW-Authenticate": string;
        /**
         * @description Seconds after which it makes sense to try again.
         * @example 2
         */
        "Retry-After": number;
        /**
         * @description The limit that was reached: its name, how many (`q`) in how many seconds (`w`) (draft-ietf-httpapi-ratelimit-headers).
         * @example "account-address";q=5;w=900
         */
        "RateLimit-Policy": string;
        /**
         * @description How many are left (`r`) of that limit, and in how many seconds (`t`) it is whole again.
         * @example "account-address";r=0;t=512
         */
        RateLimit: string;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
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
            /** @description The user exists now. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    /**
                     * @description Where the new user can be read.
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
            403: components["responses"]["CrossSiteRequest"];
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
            403: components["responses"]["CrossSiteRequest"];
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
                id: string;
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
    issueToken: {
        parameters: {
            query?: never;
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
            400: components["responses"]["InvalidRequest"];
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
            /** @description The next tokens of the session. */
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
            400: components["responses"]["InvalidRequest"];
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
                 * @description How many sessions at the most.
                 * @example 20
                 */
                limit?: number;
                /**
                 * @description The `next_cursor` of the page before.
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
        requestBody?: never;
        responses: {
            /** @description The session and its first tokens. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "Cache-Control": components["headers"]["NoStore"];
                    /**
                     * @description Where the session can be ended.
                     * @example /api/sessions/01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b
                     */
                    Location: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionTokens"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["PasswordRequired"];
            403: components["responses"]["CrossSiteRequest"];
            406: components["responses"]["NotAcceptable"];
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
            403: components["responses"]["CrossSiteRequest"];
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
            403: components["responses"]["CrossSiteRequest"];
            404: components["responses"]["NotFound"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
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
            /** @description The guide and the reference as a page. */
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
                 * @description The last part of a problem's `type`.
                 * @example token-expired
                 */
                slug: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What the problem means and what to do. */
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
