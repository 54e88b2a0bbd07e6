/** The caller of a request, as its credential shows. Frozen, because all requests with the credential share it. */
export type Principal = UserPrincipal | ClientPrincipal;

export type UserPrincipal = {
  kind: "user";
  /** Store your own data by this id: a username can be registered again after its user was deleted. */
  userId: string;
  username: string;
  /** The client that the credential was issued to. */
  clientId: string;
  /**
   * What the credential allows in your API: the scopes that it is limited to, as far as the user has them. Empty for a token
   * without `scope`, whose rights only Latchkey knows.
   */
  scopes: ReadonlySet<string>;
  /** The names of the user's roles. Decide by `scopes`: a credential can be limited to fewer than its roles have. */
  roles: readonly string[];
  /** The session that the token belongs to. */
  sessionId?: string;
  /** The id of the token (`jti`). Absent for an API key. */
  tokenId?: string;
  /** The id of the API key. Absent for a token. */
  apiKeyId?: string;
  /** When the credential expires. Absent for an API key without an expiry. */
  expiresAt?: Date;
};

/** A client that acts for itself: a token that it got with its own credentials (RFC 6749, section 4.4). */
export type ClientPrincipal = {
  kind: "client";
  clientId: string;
  scopes: ReadonlySet<string>;
  /** Empty: only users have roles. */
  roles: readonly string[];
  tokenId: string;
  expiresAt: Date;
  userId?: undefined;
  username?: undefined;
  sessionId?: undefined;
  apiKeyId?: undefined;
};
