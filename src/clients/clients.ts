/** Clients of OAuth: the programs that get tokens for themselves or for users (RFC 6749, section 2). */
import { clientId } from "../identifiers.ts";
import { Problem } from "../problems/problems.ts";
import { revocableCache } from "../revocations/cache.ts";
import type { Revocations } from "../revocations/revocations.ts";
import type { ClientDocuments } from "./documents.ts";
import type { Client, ClientStore } from "./storeTypes.ts";

/** The subject of entries in the revocation list about a client. Its tokens contain the client's version as an epoch. */
export const clientSubject = (id: string) => `client:${id}` as const;

export type Clients = {
  /**
   * @returns `undefined` if there is no such client. Without a query and a promise if it is in memory
   * @throws {Problem} `database-unavailable`, `revocations-stale`; for a URL also `too-many-requests`, `overloaded`
   */
  find(id: string): Client | undefined | Promise<Client | undefined>;
};

type Parts = {
  store: Pick<ClientStore, "find">;
  /** `undefined` if the id of a client cannot be a URL. */
  documents?: ClientDocuments | undefined;
  revocations: Pick<Revocations, "onEntry" | "requireCurrent">;
};

/** The form of the id of a registered client. Other texts are not looked up: Postgres cannot store some of them. */
const registeredId = /^lkc_[0-9a-f]{32}$/;

/** The cache keeps at least this number of clients. */
const maxClients = 1_000;

export function createClients({ store, documents, revocations }: Parts): Clients {
  const clients = revocableCache<Client>({
    revocations,
    async load(id) {
      const client = await store.find(clientId(id));
      // Not cached, so that requests with random ids evict no client, and a new client is known at once.
      if (!client) throw new Problem("not-found");
      return client;
    },
    subjectsOf: (id) => [clientSubject(id)],
    maxSize: maxClients,
  });

  function lookUp(id: string): Client | Promise<Client | undefined> {
    const client = clients.get(id);
    return client instanceof Promise ? client.catch(unlessUnknown) : client;
  }

  async function findByDocument(url: string, documents: ClientDocuments): Promise<Client | undefined> {
    const known = await lookUp(url);
    return known && !documents.isExpired(known) ? known : documents.fetch(url);
  }

  return {
    find(id) {
      revocations.requireCurrent();
      if (registeredId.test(id)) return lookUp(id);
      return documents?.isDocumentUrl(id) ? findByDocument(id, documents) : undefined;
    },
  };
}

function unlessUnknown(error: unknown): undefined {
  if (!(error instanceof Problem) || error.slug !== "not-found") throw error;
}
