/** Every code sample of the documentation works. Each is run as a developer would paste it. */
import { execFile, spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeEach, describe, expect, test } from "vitest";
import { creatorOf, kindOf, type Operation, readApi } from "../../fuzz/contract/operations.ts";
import { codeSamples } from "../../scripts/docs/codeSamples.ts";
import { operationsOf, readContract } from "../../scripts/docs/contract.ts";
import { sampleOrigin } from "../../src/documentation/pages.ts";
import { password, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const contract = await readContract();
const api = readApi("openapi.yaml");
const samples = operationsOf(contract).flatMap(({ method, path, operation }) =>
  codeSamples(contract, method, path, operation).map(({ label, source }) => {
    const statuses = Object.keys(operation.responses).filter((one) => one.startsWith("2"));
    return { id: operation.operationId, label, source, statuses };
  }),
);
const service = await startTestService({ CLIENT_REGISTRATION: "on" });
// The user of a sample may delete itself, which the last administrator may not.
await service.administrator();
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
  expect(samples.length).toBe(operationsOf(contract).length * languages.length);
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
        DELETE FROM apis`,
      );
    });

    test.each(ofLanguage.map((sample) => [sample.id, sample.statuses.join(" or "), sample] as const))(
      "%s answers %s",
      async (...[, , sample]) => {
        const operation = api.operations.find(({ id }) => id === sample.id) as Operation;
        const known = operation === api.registration ? undefined : await signedIn();
        const source = (await withThings(sample.source, operation, known)).replaceAll(sampleOrigin, service.url);
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
  for (const { name, examples } of operation.parameters.filter((one) => one.in === "path" && known)) {
    const creator = creatorOf(api, operation, name);
    if (!creator || creator === operation) continue;
    text = text.replace(`/${encodeURIComponent(String(examples[0]))}`, `/${await createdBy(creator, name)}`);
  }
  return text;
}

/** Calls an operation with its examples. Returns the name that it gives to what it creates. */
async function createdBy(creator: Operation, name: string): Promise<string> {
  const basic: [string, string] = ["miguel", password];
  if (creator === api.registration) return (await service.send("GET", "/api/users/me", { basic })).json.id;
  const path = creator.path.replace(/\{(\w+)\}/g, (_, own) =>
    String(creator.parameters.find((one) => one.name === own)?.examples[0]),
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
