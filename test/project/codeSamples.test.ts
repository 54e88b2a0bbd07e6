/** Every code sample of the documentation works. Each is run as a developer would paste it. */
import { execFile, spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeEach, describe, expect, test } from "vitest";
import { creatorOf, kindOf, type Operation, readApi } from "../../fuzz/contract/operations.ts";
import { codeSamples } from "../../scripts/docs/codeSamples.ts";
import { isPage, operationsOf, readContract } from "../../scripts/docs/contract.ts";
import { sampleOrigin } from "../../src/documentation/pages.ts";
import { createBrowser, registerApp, requestOf, resultOf } from "../support/authorizations.ts";
import { deviceCodeGrant } from "../support/clientRows.ts";
import { registerClient } from "../support/oauthClients.ts";
import { password, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const contract = await readContract();
const api = readApi("openapi.yaml");
// Pages for browsers have no samples.
const operations = operationsOf(contract).filter(({ operation }) => !isPage(contract, operation));
const samples = operations.flatMap(({ method, path, operation }) =>
  codeSamples(contract, method, path, operation).map(({ label, source }) => {
    const statuses = Object.keys(operation.responses).filter((one) => one.startsWith("2"));
    return { id: operation.operationId, label, source, statuses };
  }),
);
const service = await startTestService({
  CLIENT_REGISTRATION: "on",
  AUTHORIZATION_PAGE_URL: "https://app.example/authorize",
});
// The user of a sample may delete itself, which the last administrator may not.
const administrator = await service.administrator();
const folder = await temporaryFolder();
// curl prints the status only if it is told to.
await writeFile(join(folder, ".curlrc"), 'silent\nwrite-out = "\\n%{http_code}"\n');

/** How a sample is run, and how its output contains the status. */
const languages = [
  { label: "curl", tool: "sh", version: "-c true", run: (source: string) => ["-c", source], status: /\n(\d{3})$/ },
  {
    label: "JavaScript",
    tool: process.execPath,
    version: "--version",
    run: (source: string) => ["--input-type=module", "-e", source],
    status: /^(\d{3})/,
  },
  {
    label: "Python",
    tool: "python3",
    version: "--version",
    run: (source: string) => ["-c", source],
    status: /^(\d{3})/,
  },
  { label: "Go", tool: "go", version: "version", run: () => ["run", "sample.go"], status: /^(\d{3})/ },
];
const isHere = (tool: string, version: string) => spawnSync(tool, version.split(" ")).status === 0;

test("every operation has a sample in every language", () => {
  expect(samples.length).toBe(operations.length * languages.length);
});

for (const { label, tool, version, run, status } of languages) {
  const ofLanguage = samples.filter((sample) => sample.label === label);
  if (!isHere(tool, version)) {
    console.warn(`${label} is not on this machine: its samples are looked at, and not run.`);
    test.each(ofLanguage.map(({ id, source }) => [id, source]))(`${label}, not run: %s`, (_id, source) =>
      looksSound(source),
    );
    continue;
  }

  describe(label, () => {
    beforeEach(async () => {
      await service.sql(
        `DELETE FROM users WHERE username <> 'administrator';
        DELETE FROM roles WHERE name NOT IN ('administrator', 'default');
        DELETE FROM clients;
        DELETE FROM apis`,
      );
    });

    test.each(ofLanguage.map((sample) => [sample.id, sample.statuses.join(" or "), sample] as const))(
      "%s answers %s",
      async (...[, , sample]) => {
        const operation = api.operations.find(({ id }) => id === sample.id) as Operation;
        const known = operation === api.registration ? undefined : await signedIn();
        const complete = await withClient(await withThings(sample.source, operation, known), operation);
        const source = complete.replaceAll(sampleOrigin, service.url);
        await writeFile(join(folder, "sample.go"), source);
        const { stdout } = await promisify(execFile)(tool, run(source), {
          cwd: folder,
          maxBuffer: 50_000_000,
          env: {
            ...process.env,
            CURL_HOME: folder,
            PASSWORD: password,
            CURRENT_PASSWORD: password,
            NEW_PASSWORD: "staple horse correct",
            TOKEN: known?.session.access_token,
            REFRESH_TOKEN: known?.session.refresh_token,
            KEY: exampleOf(operation, "key"),
          },
        });
        expect(sample.statuses, stdout.slice(0, 500)).toContain(status.exec(stdout)?.[1]);
      },
    );
  });
}

/** A member of the example of a body. */
const exampleOf = ({ body }: Operation, name: string) =>
  (body?.examples[0] as Record<string, string> | undefined)?.[name];

type Known = { session: { access_token: string; refresh_token: string } };

/** Registers the user of the samples, who may call every operation. Its session has the tokens of the samples. */
async function signedIn(): Promise<Known> {
  const basic = await service.administrator("miguel");
  return { session: (await service.send("POST", "/api/sessions", { basic })).json };
}

/** Replaces the examples in the path of a sample with names of resources, which are created first. */
async function withThings(source: string, operation: Operation, known: Known | undefined): Promise<string> {
  let text = source;
  const created: Record<string, string> = {};
  for (const { name, examples } of operation.parameters.filter((one) => one.in === "path" && known)) {
    const value = await createdFor(operation, name, created);
    if (value === undefined) continue;
    created[name] = value;
    text = text.replace(`/${encodeURIComponent(String(examples[0]))}`, `/${value}`);
  }
  return text;
}

/** Creates what a parameter of a path names. @returns its name, `undefined` if the example is a name of something */
async function createdFor(
  operation: Operation,
  name: string,
  created: Record<string, string>,
): Promise<string | undefined> {
  if (operation.path === "/api/authorizations/{id}") return authorization();
  if (operation.path === "/api/grants/{id}") return allowedGrant();
  const creator = creatorOf(api, operation, name);
  return creator && creator !== operation ? createdBy(creator, name, created) : undefined;
}

const miguel: [string, string] = ["miguel", password];

/** Opens a client's request, for which the page of the team asks the user. @returns its id, as it is in a path */
async function authorization(): Promise<string> {
  const app = await registerApp(service, administrator);
  const answer = await createBrowser(service).authorize(requestOf(app).query);
  const id = encodeURIComponent(resultOf(answer)["authorization_id"] ?? "");
  // Only the user who saw the request may decide.
  await service.send("GET", `/api/authorizations/${id}`, { basic: miguel });
  return id;
}

/** Allows a client's request. @returns the id of the grant */
async function allowedGrant(): Promise<string> {
  await service.send("POST", `/api/authorizations/${await authorization()}`, {
    basic: miguel,
    json: { decision: "allow" },
  });
  return (await service.send("GET", "/api/grants", { basic: miguel })).json.grants[0].id;
}

/** Replaces the credentials in the form of a sample with those of a client that may send it. */
async function withClient(source: string, { body }: Operation): Promise<string> {
  const { client_id, client_secret } = (body?.examples[0] ?? {}) as Record<string, string>;
  if (client_id === undefined) return source;
  const { json: orders } = await service.send("POST", "/api/apis", {
    basic: administrator,
    json: api.operations.find(({ id }) => id === "createApi")?.body?.examples[0],
  });
  const client = await registerClient(
    service,
    administrator,
    client_secret === undefined
      ? { public: true, grant_types: [deviceCodeGrant], scopes: ["orders:read"], audiences: [orders.audience] }
      : { scopes: ["users:read"] },
  );
  const known = source.replace(client_id, client.client_id);
  return client_secret === undefined ? known : known.replace(client_secret, client.client_secret);
}

/** Calls an operation with its examples. Returns the name that it gives to what it creates. */
async function createdBy(creator: Operation, name: string, created: Record<string, string>): Promise<string> {
  const basic = miguel;
  if (creator === api.registration) return (await service.send("GET", "/api/users/me", { basic })).json.id;
  const path = creator.path.replace(
    /\{(\w+)\}/g,
    (_, own) => created[own] ?? String(creator.parameters.find((one) => one.name === own)?.examples[0]),
  );
  const { json, text } = await service.send(creator.method, path, { basic, json: creator.body?.examples[0] });
  const value = json[name] ?? json[kindOf(name)];
  expect(value, `${creator.id}: ${text}`).toBeTypeOf("string");
  return encodeURIComponent(value);
}

/** Checks Go without a compiler: brackets match, and exactly the used packages are imported. */
function looksSound(source: string): void {
  const code = source.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const open: string[] = [];
  for (const bracket of code.match(/[()[\]{}]/g) ?? []) {
    if ("([{".includes(bracket)) open.push(bracket);
    else expect(`${open.pop()}${bracket}`).toMatch(/^(\(\)|\[\]|\{\})$/);
  }
  expect(open).toEqual([]);
  const imported = [...source.matchAll(/^\t"(?:\w+\/)*(\w+)"$/gm)].map(([, name]) => name);
  const used = new Set([...code.matchAll(/\b([a-z]+)\.[A-Z]/g)].map(([, name]) => name));
  for (const local of ["request", "response"]) used.delete(local);
  expect(imported.sort()).toEqual([...used].sort());
}
