import type { components } from "../../generated/openapi.ts";
import type { User } from "./storeTypes.ts";

/** The body of a response. */
export const representUser = ({ id, username, createdAt, isBlocked, roles }: User): components["schemas"]["User"] => ({
  id,
  username,
  created_at: createdAt.toISOString(),
  blocked: isBlocked,
  roles,
});

/** The deletion of a role takes it from all users, without a new version of each. Between two versions, roles only go away. */
export const etagOf = ({ version, roles }: User): string => `"${[version, roles.length].join(".")}"`;

/** A 200 with the user, and the `ETag` for `If-Match`. */
export const userReply = (user: User) => ({
  status: 200 as const,
  headers: { ETag: etagOf(user) },
  body: representUser(user),
});
