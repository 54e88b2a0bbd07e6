import type { components } from "../../generated/openapi.ts";
import type { Handler } from "../openapi/binding.ts";
import { clientNetworks } from "../requestContext.ts";
import type { User } from "./storeTypes.ts";
import type { Users } from "./users.ts";

/** @param publicUrl the prefix of the `Location` header; empty for a path on this host */
export const createUser =
  (users: Users, publicUrl = ""): Handler<"createUser"> =>
  async ({ body }) => {
    const user = await users.register(body.username, body.password, clientNetworks());
    return { status: 201, headers: { Location: `${publicUrl}/api/users/${user.id}` }, body: represent(user) };
  };

export const getUser =
  (users: Users): Handler<"getUser"> =>
  async ({ principal, path }) => ({ status: 200, body: represent(await users.read(principal, path.id)) });

export const getCurrentUser =
  (users: Users): Handler<"getCurrentUser"> =>
  async ({ principal }) => ({ status: 200, body: represent(await users.readSelf(principal)) });

export const changePassword =
  (users: Users): Handler<"changePassword"> =>
  async ({ principal, body }) => {
    const { current_password: current, new_password: next, keep_api_keys: keepApiKeys = false } = body;
    await users.changePassword(principal, { current, next, keepApiKeys, networks: clientNetworks() });
    return { status: 204 };
  };

export const deleteUser =
  (users: Users): Handler<"deleteUser"> =>
  async ({ principal }) => {
    await users.remove(principal);
    return { status: 204 };
  };

const represent = ({ id, username, createdAt }: User): components["schemas"]["User"] => ({
  id,
  username,
  created_at: createdAt.toISOString(),
});
