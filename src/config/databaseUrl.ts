/**
 * The parameters that DATABASE_URL may have. Parameters that `pg` or Latchkey do not support are errors, and not ignored. The
 * settings that database/connect.ts makes on each connection take precedence over those in `options`.
 */

const parameters: Record<string, (value: string) => boolean> = {
  host: () => true,
  port: (value) => /^\d{1,5}$/.test(value),
  user: () => true,
  password: () => true,
  application_name: () => true,
  options: () => true,
  // Without TLS, with TLS and a verified certificate, or with TLS and any certificate.
  sslmode: (value) => ["disable", "prefer", "require", "verify-ca", "verify-full", "no-verify"].includes(value),
  ssl: (value) => ["true", "false", "1", "0", "no-verify"].includes(value),
  sslcert: () => true,
  sslkey: () => true,
  sslrootcert: () => true,
  sslnegotiation: (value) => ["postgres", "direct"].includes(value),
  client_encoding: (value) => /^utf-?8$/i.test(value), // the only supported encoding
  target_session_attrs: (value) => ["read-write", "primary"].includes(value), // Latchkey always requires this
};

const severalHosts =
  "several hosts are not supported: give one that leads to the primary, such as HAProxy's (deploy/ha)";

/**
 * @returns why the URL cannot be used, without the URL and without a full stop; empty if it is not a Postgres URL; `undefined` if
 *   it can be used
 */
export function faultOfDatabaseUrl(text: string): string | undefined {
  const [, authority = ""] = /^postgres(?:ql)?:\/\/(?:[^/?#]*@)?([^/?#]*)/.exec(text) ?? [];
  if (authority.includes(",")) return severalHosts;
  if (!URL.canParse(text) || !/^postgres(ql)?:\/\//.test(text)) return "";
  const { username, searchParams, hash, pathname } = new URL(text);
  if (hash) return "it has a fragment (#): write %23 for a # in a password";
  for (const part of [username, pathname]) {
    if (!isDecodable(part)) return "it has a % that does not begin an escape: write %25";
  }
  if (searchParams.get("host")?.includes(",")) return severalHosts;
  for (const [name, value] of searchParams) {
    const allows = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
    if (!allows) return `its parameter ${name} is not supported: supported are ${Object.keys(parameters).join(", ")}`;
    if (!allows(value)) return `its parameter ${name} has a value that is not supported`;
  }
  return undefined;
}

function isDecodable(part: string): boolean {
  try {
    decodeURIComponent(part);
    return true;
  } catch {
    return false;
  }
}
