import type { GuardingHandler } from "../openapi/binding.ts";
import type { ForwardAuth, Identity } from "./forwardAuth.ts";

export const forwardAuth = (authorize: ForwardAuth): GuardingHandler<"forwardAuth"> => ({
  async guardAndHandle({ query, header }, authorization) {
    const identity = await authorize({ ...query, headers: header ?? {}, authorization });
    return { status: 204, headers: identityHeaders(identity) };
  },
});

/** Each header has a value, which may be empty: some proxies let the client's own header pass if it is absent. */
const identityHeaders = (identity: Identity | undefined) => ({
  "Latchkey-User-Id": identity?.userId ?? "",
  "Latchkey-Username": percentEncoded(identity?.username ?? ""),
  "Latchkey-Scope": identity?.scopes.join(" ") ?? "",
  "Latchkey-Roles": identity?.roles.join(" ") ?? "",
  "Latchkey-Client-Id": identity?.clientId ?? "",
});

/** Encodes the percent sign too, so that decoding always returns the name. */
const percentEncoded = (name: string): string => name.replace(/[^!-$&-~]+/gu, encodeURIComponent);
