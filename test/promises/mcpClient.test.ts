/** A client of the Model Context Protocol signs a user in with Latchkey, and calls a tool of a server that Latchkey protects. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { OAuthClientProvider } from "@modelcontextprotocol/sdk/client/auth.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import type { OAuthClientInformationMixed, OAuthTokens } from "@modelcontextprotocol/sdk/shared/auth.js";
import { expect, test } from "vitest";
import { type Principal, Refusal } from "../../packages/verify/src/index.ts";
import { type Arrival, openBrowser, urlOf } from "../support/cookieBrowser.ts";
import { registerClient } from "../support/oauthClients.ts";
import { freePort, listen } from "../support/ports.ts";
import { startTestService } from "../support/service.ts";
import { outcome, startVerifier } from "../support/verifiers.ts";

const port = await freePort();
const issuer = `http://127.0.0.1:${port}`;
const toolServer = createServer((request, response) => void answer(request, response));
const toolOrigin = `http://127.0.0.1:${await listen(toolServer)}`;
const tools = `${toolOrigin}/mcp`;
/** RFC 9728. */
const metadataPath = "/.well-known/oauth-protected-resource/mcp";
const service = await startTestService({
  PORT: String(port),
  PUBLIC_URL: issuer,
  CLIENT_REGISTRATION: "on",
  CLIENT_ID_METADATA: "on",
  CLIENT_REGISTRATION_SCOPES: "openid,offline_access,tools:call",
  CLIENT_REGISTRATION_AUDIENCES: tools,
});
const basic = await service.administrator();
const miguel = await service.register("miguel");
const scopes = [{ name: "tools:call", description: "Call tools." }];
await service.send("POST", "/api/apis", { basic, json: { audience: tools, name: "Tools", scopes } });
await service.sql("UPDATE roles SET scopes = '{tools:call}' WHERE name = 'default'");

const verifier = startVerifier({ issuer, audience: tools, metadataUrl: toolOrigin + metadataPath });

/** A server with one tool, which names its caller. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === metadataPath) {
    const metadata = await verifier.metadata();
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(metadata));
    return;
  }
  const caller = await outcome(verifier, request.headers.authorization, ["tools:call"]);
  if (caller instanceof Refusal) {
    response.writeHead(caller.status, caller.headers).end(JSON.stringify(caller.problem));
    return;
  }
  const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true });
  await serverFor(caller).connect(transport as Parameters<McpServer["connect"]>[0]);
  await transport.handleRequest(request, response);
}

function serverFor(caller: Principal): McpServer {
  const server = new McpServer({ name: "tools", version: "1.0.0" });
  server.registerTool("who-am-i", { description: "Names the caller." }, () => ({
    content: [{ type: "text", text: JSON.stringify({ ...caller, scopes: [...caller.scopes] }) }],
  }));
  return server;
}

const redirectUrl = "http://127.0.0.1:33418/callback";

type Kept = { client?: OAuthClientInformationMixed; tokens?: OAuthTokens; verifier: string; url?: URL };

/** What a program keeps of one user, in memory. */
function createProvider(members: { known?: OAuthClientInformationMixed; clientMetadataUrl?: string } = {}) {
  const kept: Kept = { verifier: "", ...(members.known && { client: members.known }) };
  const keep = (members: Partial<Kept>) => void Object.assign(kept, members);
  const provider: OAuthClientProvider = {
    redirectUrl,
    clientMetadata: {
      client_name: "An assistant",
      redirect_uris: [redirectUrl],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
    },
    ...(members.clientMetadataUrl !== undefined && { clientMetadataUrl: members.clientMetadataUrl }),
    state: () => "a state",
    clientInformation: () => kept.client,
    saveClientInformation: (client) => keep({ client }),
    tokens: () => kept.tokens,
    saveTokens: (tokens) => keep({ tokens }),
    redirectToAuthorization: (url) => keep({ url }),
    saveCodeVerifier: (verifier) => keep({ verifier }),
    codeVerifier: () => kept.verifier,
  };
  return { kept, provider };
}

const connect = async (provider: OAuthClientProvider) => {
  const transport = new StreamableHTTPClientTransport(new URL(tools), { authProvider: provider });
  const client = new Client({ name: "assistant", version: "1.0.0" });
  await client.connect(transport as Parameters<Client["connect"]>[0]);
  return client;
};

/** Calls the tool. @returns the caller that it names */
async function callTool(provider: OAuthClientProvider): Promise<unknown> {
  const client = await connect(provider);
  const { content } = (await client.callTool({ name: "who-am-i" })) as { content: { text: string }[] };
  await client.close();
  return JSON.parse(content[0]?.text ?? "");
}

const browser = openBrowser(service, issuer);

/** Connects, signs in, connects again, and calls the tool, before and after a refresh. */
async function expectToWork({ kept, provider }: ReturnType<typeof createProvider>): Promise<void> {
  await expect(connect(provider)).rejects.toBeInstanceOf(UnauthorizedError);
  expect(kept.url?.searchParams.get("resource")).toBe(tools);
  let arrival: Arrival = await browser.go("GET", kept.url?.href ?? "");
  if (arrival.page?.text.includes('name="password"')) arrival = await browser.signIn(arrival, "miguel");
  const { searchParams } = urlOf(await browser.allow(arrival));
  expect(searchParams.get("state")).toBe("a state");
  const transport = new StreamableHTTPClientTransport(new URL(tools), { authProvider: provider });
  await transport.finishAuth(searchParams.get("code") ?? "");

  const caller = { kind: "user", userId: miguel.id, clientId: kept.client?.client_id, scopes: ["tools:call"] };
  expect(await callTool(provider)).toMatchObject(caller);
  const refresh = kept.tokens?.refresh_token;
  Object.assign(kept.tokens ?? {}, { access_token: "rejected" });
  expect(await callTool(provider)).toMatchObject(caller);
  expect(kept.tokens?.refresh_token).not.toBe(refresh);
}

test("a program works that an administrator has registered", async () => {
  const { client_id } = await registerClient(service, basic, {
    public: true,
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: ["http://127.0.0.1/callback"],
    scopes: ["tools:call"],
    audiences: [tools],
  });
  await expectToWork(createProvider({ known: { client_id } }));
});

test("a program works that registers itself", async () => {
  await expectToWork(createProvider());
});

test("a program works whose id is the URL of a document", async () => {
  const clientMetadataUrl = "https://assistant.example/client.json";
  // As if the service had just fetched it.
  await service.sql(
    `INSERT INTO clients (id, registration, authentication, name, grant_types, redirect_uris, scopes, audiences, document_expires_at)
     VALUES ($1, 'metadata-document', 'none', 'An assistant', '{authorization_code,refresh_token}',
       '{http://127.0.0.1/callback}', '{tools:call}', $2, now() + interval '1 hour')`,
    [clientMetadataUrl, [tools]],
  );
  const opened = createProvider({ clientMetadataUrl });
  await expectToWork(opened);
  expect(opened.kept.client?.client_id).toBe(clientMetadataUrl);
});

test("the challenge of the server names its metadata, which names Latchkey", async () => {
  const { status, headers } = await fetch(tools, { method: "POST" });
  const [, metadataUrl = ""] = /, resource_metadata="([^"]+)"$/.exec(headers.get("www-authenticate") ?? "") ?? [];
  expect([status, metadataUrl]).toEqual([401, toolOrigin + metadataPath]);
  const metadata = await (await fetch(metadataUrl)).json();
  expect(metadata).toMatchObject({
    resource: tools,
    authorization_servers: [issuer],
    scopes_supported: ["tools:call"],
  });
});
