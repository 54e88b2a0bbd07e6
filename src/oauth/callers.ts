/** The clients that call endpoints which also accept other callers. */
import type { ClientParameters } from "../clients/authentication.ts";
import { hasApiKeyShape, parseAuthorization } from "../openapi/authorizationHeader.ts";

/** The id of a registered client, percent-encoded or not, or the URL of a metadata document. */
const clientIdShape = /^(lkc(_|%5F)[0-9a-f]{32}$|https:|https%3A)/i;

/**
 * Whether a request authenticates as a client. Other values of `client_id`, and an API key in place of the secret, are not
 * credentials of a client.
 */
export function authenticatesClient(authorization: string | undefined, parameters: ClientParameters): boolean {
  if (authorization === undefined) {
    return parameters.client_assertion !== undefined || clientIdShape.test(parameters.client_id ?? "");
  }
  const credentials = parseAuthorization(authorization);
  return (
    credentials?.scheme === "basic" && clientIdShape.test(credentials.username) && !hasApiKeyShape(credentials.password)
  );
}
