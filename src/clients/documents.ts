/**
 * Clients whose id is the URL of a document about them (draft-ietf-oauth-client-id-metadata-document). They are not registered: the
 * document is fetched when the client is used, and again when it has expired. If it cannot be fetched, there is no such client.
 */
import QuickLRU from "quick-lru";
import { z } from "zod";
import type { Audit } from "../audit/audit.ts";
import { FetchError, type FetchJson } from "../http/fetchJson.ts";
import { type ClientId, clientId } from "../identifiers.ts";
import type { Networks } from "../networks.ts";
import { Problem } from "../problems/problems.ts";
import { clientNetworks } from "../requestContext.ts";
import type { Revocation } from "../revocations/revocations.ts";
import { definitionOf, invalidMetadata, readMetadata, type SelfRegistration } from "./metadata.ts";
import type { Client, ClientDefinition } from "./storeTypes.ts";

export type ClientDocuments = {
  /** Whether a text can be the id of such a client. */
  isDocumentUrl(id: string): boolean;
  isExpired(client: Client): boolean;
  /**
   * Fetches the document, and stores the client.
   * @returns `undefined` if the document is missing or not valid
   * @throws {Problem} `too-many-requests`, `overloaded`, `database-unavailable`
   */
  fetch(id: string): Promise<Client | undefined>;
};

export type DocumentStore = {
  /** Stores a client, or replaces what was stored of it. */
  put(id: ClientId, definition: ClientDefinition, expiresAt: Date): Promise<{ client: Client; changed: Revocation }>;
};

type Parts = {
  fetchJson: FetchJson;
  store: DocumentStore;
  allowed: SelfRegistration;
  throttle: {
    /** Counts a client that no administrator has registered, in the networks of the request. @throws {Throttled} */
    newClient(networks: Networks): Promise<void>;
  };
  /** Applies a revocation on this instance at once. */
  enforce(revocation: Revocation): void;
  /** The time of the database. */
  clock: () => Date;
  audit: Audit;
};

const fetchLimits = { maxBytes: 5_120, timeoutMs: 2_000 };
/** Bounds of the time for which a document is used, and the default without `Cache-Control`. */
const minAgeSeconds = 60;
const defaultAgeSeconds = 3_600;
const maxAgeSeconds = 86_400;
/** A document that could not be used is not fetched again for this time. */
const failureMs = 30_000;
const maxFailures = 1_000;
const maxIdLength = 512;

export function createClientDocuments(parts: Parts): ClientDocuments {
  const { fetchJson, store, allowed, throttle, enforce, clock, audit } = parts;
  const failures = new QuickLRU<string, true>({ maxSize: maxFailures, maxAge: failureMs });
  const fetching = new Map<string, Promise<Client | undefined>>();

  async function read(id: string): Promise<Client | undefined> {
    await throttle.newClient(clientNetworks());
    try {
      const fetched = await fetchJson(id, fetchLimits);
      const age = Math.min(maxAgeSeconds, Math.max(minAgeSeconds, fetched.maxAgeSeconds ?? defaultAgeSeconds));
      const expiresAt = new Date(clock().getTime() + age * 1000);
      const { client, changed } = await store.put(clientId(id), clientIn(fetched.body, id), expiresAt);
      enforce(changed);
      audit("client-document-read", { clientId: id, scope: client.scopes.join(" ") });
      return client;
    } catch (error) {
      const isRefused = error instanceof FetchError || (error instanceof Problem && error.status === 400);
      if (!isRefused) throw error;
      failures.set(id, true);
      const reason = error instanceof Problem ? (error.body("").detail ?? error.slug) : error.message;
      audit("client-document-refused", { clientId: id, reason });
      return undefined;
    }
  }

  function clientIn(body: unknown, id: string): ClientDefinition {
    const own = header.safeParse(body).data;
    if (own?.client_id !== id) throw invalidMetadata("client_id: is not the URL of the document");
    if (own.client_secret !== undefined) throw invalidMetadata("client_secret: must not be published");
    const { hostname } = new URL(id);
    const definition = definitionOf(readMetadata(body), { authentication: "none", name: hostname, allowed });
    if (definition.authentication === "client_secret")
      throw invalidMetadata("token_endpoint_auth_method: must be none or private_key_jwt");
    for (const redirectUri of [...definition.redirectUris, ...definition.postLogoutRedirectUris])
      if (!isOwn(redirectUri, id))
        throw new Problem("invalid-redirect-uri", { detail: "A redirect URI has another origin than the document." });
    return definition;
  }

  return {
    isDocumentUrl,
    isExpired: ({ documentExpiresAt }) => documentExpiresAt !== null && documentExpiresAt <= clock(),
    fetch(id) {
      if (failures.has(id)) return Promise.resolve(undefined);
      const running = fetching.get(id) ?? read(id).finally(() => fetching.delete(id));
      fetching.set(id, running);
      return running;
    },
  };
}

const header = z.object({ client_id: z.string(), client_secret: z.unknown().optional() });

/** With a path, and without dot segments, a fragment, user information or a query: a client has one id. */
function isDocumentUrl(id: string): boolean {
  if (!id.startsWith("https://") || id.length > maxIdLength || !/^[!-~]+$/.test(id) || !URL.canParse(id)) return false;
  const { href, username, password, pathname } = new URL(id);
  return href === id && username === "" && password === "" && pathname !== "/" && !/[?#]/.test(id);
}

const loopback = /^http:\/\/(127\.0\.0\.1|\[::1\]|localhost)[:/]/;

const isOwn = (redirectUri: string, id: string): boolean =>
  loopback.test(`${redirectUri}/`) || new URL(redirectUri).origin === new URL(id).origin;
