/** Dynamic registration: a program registers itself (RFC 7591). */
import { v7 as uuidv7 } from "uuid";
import type { Audit } from "../audit/audit.ts";
import { clientSecretId } from "../identifiers.ts";
import type { Networks } from "../networks.ts";
import { Problem } from "../problems/problems.ts";
import { newClientId } from "./administration/administration.ts";
import type { ClientAdministrationStore } from "./administration/storeTypes.ts";
import { definitionOf, readMetadata, type SelfRegistration } from "./metadata.ts";
import { newClientSecret } from "./secrets.ts";
import type { RegisteredClient } from "./storeTypes.ts";

type Parts = {
  store: Pick<ClientAdministrationStore, "insert">;
  /** `undefined` if programs cannot register themselves. */
  allowed: SelfRegistration | undefined;
  throttle: {
    /** Counts a client that no administrator has registered, in the networks of the request. @throws {Throttled} */
    newClient(networks: Networks): Promise<void>;
  };
  audit: Audit;
};

/**
 * @param body the metadata of the client
 * @returns the client, and its secret if it has one
 * @throws {Problem} `not-found` if programs cannot register themselves; `invalid-client-metadata`, `invalid-redirect-uri`,
 * `too-many-requests`
 */
export type RegisterClient = (
  body: unknown,
  networks: Networks,
) => Promise<{ client: RegisteredClient; secret: string | undefined }>;

export function createClientRegistration({ store, allowed, throttle, audit }: Parts): RegisterClient {
  return async (body, networks) => {
    if (!allowed) throw new Problem("not-found");
    const definition = definitionOf(readMetadata(body), {
      authentication: "client_secret",
      name: "Unnamed client",
      allowed,
    });
    await throttle.newClient(networks);
    const secret =
      definition.authentication === "client_secret"
        ? { ...newClientSecret(), id: clientSecretId(uuidv7()) }
        : undefined;
    const client = await store.insert({ ...definition, id: newClientId(), registration: "dynamic" }, secret);
    audit("client-created", { clientId: client.id, scope: client.scopes.join(" "), reason: "dynamic" });
    return { client, secret: secret?.text };
  };
}
