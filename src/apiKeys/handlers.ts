import type { components } from "../../generated/openapi.ts";
import { apiKeyId, userId } from "../identifiers.ts";
import type { Page } from "../lib/page.ts";
import type { Handler } from "../openapi/binding.ts";
import type { ApiKeys, CreatedApiKey } from "./apiKeys.ts";
import type { ApiKey, ApiKeySecret } from "./storeTypes.ts";

const defaultLimit = 20;

/** @param publicUrl the prefix of the `Location` header; empty for a path on this host */
export const createApiKey =
  (keys: ApiKeys, publicUrl = ""): Handler<"createApiKey"> =>
  async ({ principal, body }) => {
    const { name, scopes, expires_at } = body;
    return created(await keys.create(principal, { name, scopes, expiresAt: dateOf(expires_at ?? null) }), publicUrl);
  };

export const listApiKeys =
  (keys: ApiKeys): Handler<"listApiKeys"> =>
  async ({ principal, query }) => ({
    status: 200,
    body: representPage(await keys.list(principal.userId, query?.limit ?? defaultLimit, query?.after)),
  });

export const getApiKey =
  (keys: ApiKeys): Handler<"getApiKey"> =>
  async ({ principal, path }) => ({
    status: 200,
    body: representApiKey(await keys.find(principal.userId, keyIdOf(path.id))),
  });

export const updateApiKey =
  (keys: ApiKeys): Handler<"updateApiKey"> =>
  async ({ principal, path, body }) => {
    const { name, scopes, expires_at } = body;
    const change = { name, scopes, ...(expires_at !== undefined && { expiresAt: dateOf(expires_at) }) };
    return { status: 200, body: representApiKey(await keys.update(principal, keyIdOf(path.id), change)) };
  };

export const deleteApiKey =
  (keys: ApiKeys): Handler<"deleteApiKey"> =>
  async ({ principal, path }) => {
    await keys.remove(principal.userId, keyIdOf(path.id));
    return { status: 204 };
  };

/** @param publicUrl the prefix of the `Location` header; empty for a path on this host */
export const rotateApiKey =
  (keys: ApiKeys, publicUrl = ""): Handler<"rotateApiKey"> =>
  async ({ principal, path, body }) =>
    created(await keys.rotate(principal, keyIdOf(path.id), body.overlap_seconds), publicUrl);

export const revokeApiKey =
  (keys: ApiKeys): Handler<"revokeApiKey"> =>
  async ({ body }) => {
    await keys.revoke(body.key);
    return { status: 204 };
  };

export const listUserApiKeys =
  (keys: ApiKeys): Handler<"listUserApiKeys"> =>
  async ({ path, query }) => ({
    status: 200,
    body: representPage(await keys.listOfUser(userIdOf(path.id), query?.limit ?? defaultLimit, query?.after)),
  });

export const deleteUserApiKey =
  (keys: ApiKeys): Handler<"deleteUserApiKey"> =>
  async ({ principal, path }) => {
    await keys.removeOfUser(principal, userIdOf(path.id), keyIdOf(path.key_id));
    return { status: 204 };
  };

const keyIdOf = (text: string) => apiKeyId(text.toLowerCase());
const userIdOf = (text: string) => userId(text.toLowerCase());
const dateOf = (text: string | null): Date | null => (text === null ? null : new Date(text));

const created = ({ key, ...rest }: CreatedApiKey, publicUrl: string) => ({
  status: 201 as const,
  headers: { Location: `${publicUrl}/api/api-keys/${rest.id}` },
  body: { ...representApiKey(rest), key },
});

const representPage = ({ items, next }: Page<ApiKey>): components["schemas"]["ApiKeyPage"] => ({
  api_keys: items.map(representApiKey),
  next: next ?? null,
});

export const representApiKey = ({
  id,
  name,
  scopes,
  createdAt,
  expiresAt,
  secrets,
}: ApiKey): components["schemas"]["ApiKey"] => ({
  id,
  name,
  scopes,
  created_at: createdAt.toISOString(),
  expires_at: expiresAt?.toISOString() ?? null,
  secrets: secrets.map(representSecret),
});

const representSecret = (secret: ApiKeySecret): components["schemas"]["ApiKeySecret"] => ({
  last_four: secret.lastFour,
  created_at: secret.createdAt.toISOString(),
  expires_at: secret.expiresAt?.toISOString() ?? null,
  last_used_at: secret.lastUsedAt?.toISOString() ?? null,
  last_used_network: secret.lastUsedNetwork,
});
