/** The problems of OAuth alone, and their pages. oauthErrors.ts has their codes. */
export const oauthProblems = {
  "invalid-scope": {
    status: 400,
    title: "The scope is not valid",
    meaning:
      "The scope is malformed, names a scope twice, one that the API does not have or one that the client may not ask for, or exceeds the session.",
    remedy: "Separate scopes of the API by single spaces. Those that the user does not have are left out.",
  },
  "invalid-target": {
    status: 400,
    title: "The audience is not valid",
    meaning:
      "No API with this audience is registered, the client may not get tokens for it, or the session is limited to another one.",
    remedy: "Use the audience exactly as it is registered, or start a session for this API.",
  },
  "invalid-client-metadata": {
    status: 400,
    title: "The client cannot be registered like this",
    meaning:
      "A member of the client's metadata has a value that the service does not support, or two members contradict.",
    remedy: "Correct the member that detail names (RFC 7591, section 2).",
  },
  "invalid-redirect-uri": {
    status: 400,
    title: "A redirect URI cannot be registered",
    meaning: "A redirect URI of the client is not safe, or it is not written in the form in which browsers send it.",
    remedy: "Use https, http for a loopback address, or a private-use scheme with a dot (RFC 8252, section 7.1).",
  },
  "invalid-client": {
    status: 401,
    title: "The client could not be authenticated",
    meaning:
      "There is no client with this client_id, its secret or assertion is wrong, or it authenticated in another way than it is registered for. The response does not say which.",
    remedy:
      "Compare the client_id and the secret with the registration. A public client sends its client_id in the body and no secret. An assertion can be used once.",
  },
  "invalid-grant": {
    status: 400,
    title: "The grant is not valid",
    meaning:
      "The authorization code or refresh token is unknown, expired, revoked, was used before, or was issued to another client, or the code verifier or redirect URI does not belong to the code.",
    remedy: "Let the user sign in again. Use each code and each refresh token once.",
  },
  "invalid-dpop-proof": {
    status: 400,
    title: "The DPoP proof is not valid",
    meaning:
      "The header DPoP is not one signed proof for this request, its iat differs from the time of the service by more than a minute, or the proof was sent before.",
    remedy:
      "Make a new proof for each request, with the method, the URL below PUBLIC_URL and the current time. Its header has the public key alone.",
  },
  "dpop-proof-refused": {
    status: 401,
    title: "The DPoP proof is missing or not valid",
    meaning:
      "The access token is bound to a key. The request has no proof of this key, or the proof is for another request or another token, is more than a minute old, or was sent before.",
    remedy: "Make a new proof for each request, with the digest of the token in ath (RFC 9449, section 4.2).",
  },
  "unsupported-grant-type": {
    status: 400,
    title: "The grant type is not supported",
    meaning: "The service has no grant of this type.",
    remedy: "Use one of grant_types_supported in /.well-known/oauth-authorization-server.",
  },
  "unauthorized-client": {
    status: 400,
    title: "The client may not use this grant",
    meaning: "The client is not registered for this grant type.",
    remedy: "Add the grant type to the client, or use another client.",
  },
  "authorization-pending": {
    status: 400,
    title: "The user has not decided yet",
    meaning: "The device code is valid, and the user has neither allowed nor denied the request.",
    remedy: "Send the request again after the interval.",
  },
  "slow-down": {
    status: 400,
    title: "The device polls too often",
    meaning: "The device code is valid and was sent again before the interval had passed.",
    remedy: "From now on, wait 5 seconds longer between two requests with this device code.",
  },
  "device-code-expired": {
    status: 400,
    title: "The device code has expired",
    meaning: "The user did not decide in time.",
    remedy: "Start another device authorization, and show the new code.",
  },
  "access-denied": {
    status: 400,
    title: "The user has denied the request",
    meaning: "The user does not allow what the client has asked for.",
    remedy: "Ask the user whether to try again, with fewer scopes if they are not needed.",
  },
} as const;
