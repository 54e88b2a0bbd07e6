/** A client whose id is a URL is what the document at the URL says, within the bounds of the settings. */
import { expect, test } from "vitest";
import { createClients } from "../../src/clients/clients.ts";
import { createClientDocuments } from "../../src/clients/documents.ts";
import { clientStore, documentStore } from "../../src/clients/store.ts";
import { openDatabase } from "../../src/database/database.ts";
import { FetchError } from "../../src/http/fetchJson.ts";
import { createRequestContext, runInRequest } from "../../src/requestContext.ts";
import type { Revocation } from "../../src/revocations/revocations.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase, holdLocks, query } from "../support/service.ts";

const databaseUrl = await createDatabase();
const sql = (text: string, values?: unknown[]) => query(databaseUrl, text, values);
const database = openDatabase(databaseUrl, 4);
afterTest(() => database.close());
const id = "https://app.example/oauth/client.json";
const valid = {
  client_id: id,
  client_name: "App",
  redirect_uris: ["https://app.example/callback", "http://127.0.0.1/"],
};

let now = Date.now();
let document: { body: unknown; maxAgeSeconds?: number } | undefined = { body: valid };
let fetched: string[] = [];
let reasons: unknown[] = [];
let counted = 0;
let listener: (subject: string | undefined) => void = () => {};
const enforced: Revocation[] = [];
const allowed = { scopes: ["openid", "orders:read"], audiences: ["orders"] };
const newInstance = () => {
  const documents = createClientDocuments({
    async fetchJson(url) {
      fetched.push(url);
      if (!document) throw new FetchError("its status is 404");
      return { maxAgeSeconds: undefined, ...document };
    },
    store: documentStore(database),
    allowed,
    throttle: {
      async newClient() {
        counted += 1;
      },
    },
    enforce(revocation) {
      enforced.push(revocation);
      listener(revocation.subject);
    },
    clock: () => new Date(now),
    audit: (event, { reason }) => {
      if (event === "client-document-refused") reasons.push(reason);
    },
  });
  return createClients({
    store: clientStore(database),
    documents,
    revocations: {
      onEntry(entry) {
        listener = entry;
      },
      requireCurrent: () => {},
    },
  });
};
let clients = newInstance();
const find = (text: string) => runInRequest(createRequestContext("192.0.2.1", undefined), () => clients.find(text));
/** A new URL for each test. */
let documentsMade = 0;
const newUrl = () => `https://app.example/${++documentsMade}`;

test("the document is fetched once, until it expires, and the client is public", async () => {
  const client = await find(id);
  expect(client).toMatchObject({
    id,
    registration: "metadata-document",
    authentication: "none",
    name: "App",
    grantTypes: ["authorization_code"],
    redirectUris: valid.redirect_uris,
    scopes: allowed.scopes,
    audiences: allowed.audiences,
    isFirstParty: false,
  });
  expect(await find(id)).toEqual(client);
  clients = newInstance();
  expect(await find(id)).toEqual(client);
  expect([fetched, counted]).toEqual([[id], 1]);
});

test("a document that has expired is fetched again, and lost rights revoke the tokens", async () => {
  fetched = [];
  now += 3_601_000;
  document = { body: { ...valid, client_name: "Renamed" }, maxAgeSeconds: 0 };
  const renamed = await find(id);
  expect(renamed).toMatchObject({ name: "Renamed" });
  expect(enforced.at(-1)?.subject).toBe(`client:${id}`);
  // At most that of the first version, before which there were no tokens.
  expect(enforced.at(-1)?.minimumEpoch).toBeLessThan(renamed?.version ?? 0);
  now += 59_000; // no header makes it expire sooner
  await find(id);
  expect(fetched).toEqual([id]);
  now += 2_000;
  document = { body: { ...valid, scope: "openid" }, maxAgeSeconds: 10_000_000 };
  const narrowed = await find(id);
  expect(narrowed).toMatchObject({ scopes: ["openid"] });
  expect(enforced.at(-1)).toMatchObject({ minimumEpoch: narrowed?.version });
  now += 86_401_000; // nor keeps it for longer than a day
  document = undefined;
  expect(await find(id)).toBeUndefined();
  expect(reasons.at(-1)).toBe("its status is 404");
});

test("rights that another instance has read meanwhile, and this one has not, revoke the tokens", async () => {
  const url = newUrl();
  document = { body: { ...valid, client_id: url, scope: "openid" } };
  await find(url);
  now += 3_601_000;
  const wider = "UPDATE clients SET scopes = '{openid,orders:read}', version = DEFAULT WHERE id = $1";
  const lock = await holdLocks({ databaseUrl, sql }, wider, [url]);
  const narrowed = find(url);
  await lock.untilWaiting(1);
  await lock.commit();
  const client = await narrowed;
  expect(enforced.at(-1)).toMatchObject({ subject: `client:${url}`, minimumEpoch: client?.version });
});

test("a document that has not changed leaves the version, so that users can decide about what they have seen", async () => {
  const url = newUrl();
  const jwks = { keys: [{ kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", kid: "1" }] };
  const body = {
    client_id: url,
    redirect_uris: valid.redirect_uris,
    token_endpoint_auth_method: "private_key_jwt",
    jwks,
  };
  document = { body };
  const first = await find(url);
  now += 3_601_000;
  const second = await find(url);
  expect(second?.documentExpiresAt?.getTime()).toBe(Number(first?.documentExpiresAt?.getTime()) + 3_601_000);
  expect({ ...second, documentExpiresAt: null }).toEqual({ ...first, documentExpiresAt: null });
  now += 3_601_000;
  document = { body: { ...body, client_name: "Renamed" } };
  expect((await find(url))?.version).toBeGreaterThan(Number(first?.version));
});

test("many requests at once fetch a document once, and a failure is remembered", async () => {
  const url = newUrl();
  [fetched, document] = [[], { body: { ...valid, client_id: url } }];
  const found = await Promise.all(Array.from({ length: 20 }, () => find(url)));
  expect(new Set(found.map((client) => client?.id))).toEqual(new Set([url]));
  expect(fetched).toEqual([url]);
  const missing = newUrl();
  document = undefined;
  expect([await find(missing), await find(missing)]).toEqual([undefined, undefined]);
  expect(fetched).toEqual([url, missing]);
});

test.each<[string, object, string]>([
  ["the id of another document", { client_id: id }, "client_id: is not the URL"],
  ["no id", { client_id: undefined }, "client_id: is not the URL"],
  ["a secret", { client_secret: "secret" }, "client_secret: must not"],
  ["a method with a secret", { token_endpoint_auth_method: "client_secret_basic" }, "must be none or private_key_jwt"],
  ["a redirect URI of another origin", { redirect_uris: ["https://evil.example/"] }, "another origin"],
  [
    "a redirect URI whose host begins as that of the document",
    { redirect_uris: ["https://app.example.evil.example/"] },
    "another origin",
  ],
  [
    "a redirect URI whose host begins as loopback",
    { redirect_uris: ["http://127.0.0.1.evil.example/"] },
    "must use https",
  ],
  ["a redirect URI with another port", { redirect_uris: ["https://app.example:8443/"] }, "another origin"],
  ["a private-use scheme", { redirect_uris: ["com.example.app:/callback"] }, "another origin"],
  ["a post-logout URI of another origin", { post_logout_redirect_uris: ["https://evil.example/"] }, "another origin"],
  ["client_credentials alone", { grant_types: ["client_credentials"] }, "grant_types: has none"],
  ["no redirect URI", { redirect_uris: [] }, "redirect_uris: is required"],
])("a document with %s is no client", async (_label, members, reason) => {
  const url = newUrl();
  document = { body: { ...valid, client_id: url, ...members } };
  reasons = [];
  expect(await find(url)).toBeUndefined();
  expect(reasons).toEqual([expect.stringContaining(reason)]);
});

test.each([
  "http://app.example/client.json",
  "https://app.example/",
  "https://app.example",
  "https://app.example/client.json?v=1",
  "https://app.example/client.json#1",
  "https://app.example/a/../client.json",
  "https://user@app.example/client.json",
  "https://APP.example/client.json",
  "https://app.example:443/client.json",
  `https://app.example/${"x".repeat(512)}`,
  "https://äpp.example/client.json",
  "https://app.example/\u0000",
  "data:application/json,{}",
])("%s is fetched by nobody", async (url) => {
  [fetched, document] = [[], { body: { ...valid, client_id: url } }];
  expect(await find(url)).toBeUndefined();
  expect(fetched).toEqual([]);
});
