/** Headers that a proxy sets for the service behind it, and that a service must not accept from a client. */

const identity = ({ id, name, scopes }: { id: string; name: string; scopes: string }): Record<string, string> => ({
  "Latchkey-User-Id": id,
  "Latchkey-Username": name,
  "Latchkey-Scope": scopes,
  "Latchkey-Roles": "administrator",
  "Latchkey-Client-Id": "latchkey",
  "X-User": name,
  "X-User-Id": "1",
  "X-Username": name,
  "X-User-Name": name,
  "X-Remote-User": name,
  "X-Forwarded-User": name,
  "X-Auth-User": name,
  "X-Auth-Request-User": name,
  "X-Authenticated-User": name,
  "X-WebAuth-User": name,
  "Remote-User": name,
  "Remote-Groups": "administrator",
  "X-Roles": "administrator",
  "X-Scopes": scopes,
});

/**
 * Servers that turn `X-User` into the variable `HTTP_X_USER` cannot tell it from `X_User`, which a proxy might not remove.
 * @param user the values of the headers
 */
export function identityHeaders(user: { id: string; name: string; scopes: string }): Record<string, string>[] {
  const headers = identity(user);
  const spelled = (pattern: RegExp) =>
    Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.replace(pattern, "_"), value]));
  return [headers, spelled(/-/g), spelled(/-(?!.*-)/)];
}

const administrator = { id: "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b", name: "admin" };

type HeaderCheck = { check: string; headers: Record<string, string> };

/** @param openPath the path of an operation that serves everyone */
export const headerChecks = (scopes: readonly string[], openPath: string): HeaderCheck[] => [
  ...identityHeaders({ ...administrator, scopes: scopes.join(" ") }).map((headers) => ({
    check: "identity-header",
    headers,
  })),
  {
    check: "forwarded-request",
    headers: {
      "X-Original-URL": openPath,
      "X-Original-URI": openPath,
      "X-Rewrite-URL": openPath,
      "X-Forwarded-Uri": openPath,
      "X-Forwarded-Path": openPath,
    },
  },
  { check: "forwarded-request", headers: { "X-Forwarded-Method": "OPTIONS", "X-Original-Method": "OPTIONS" } },
  {
    check: "forwarded-address",
    headers: {
      "X-Forwarded-For": "127.0.0.1",
      "X-Real-IP": "127.0.0.1",
      "X-Client-IP": "127.0.0.1",
      "True-Client-IP": "127.0.0.1",
      "X-Forwarded-Host": "localhost",
      Forwarded: "for=127.0.0.1;host=localhost",
    },
  },
  { check: "method-override", headers: overrides("OPTIONS") },
  { check: "method-override", headers: overrides("HEAD") },
];

/** Headers with which some frameworks replace the method of a request. */
export const overrides = (method: string): Record<string, string> => ({
  "X-HTTP-Method-Override": method,
  "X-HTTP-Method": method,
  "X-Method-Override": method,
});
