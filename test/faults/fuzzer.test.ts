/**
 * The fuzzer finds what it is for: each of these faults is planted into the real service, which is then fuzzed. And it
 * finds nothing where there is nothing: the service as it is keeps every promise.
 */
import { describe, expect, inject, test } from "vitest";
import { readApi } from "../../fuzz/contract/operations.ts";
import { checkOutages } from "../../fuzz/outages.ts";
import { buildFaulty } from "../../fuzz/plantedFaults/build.ts";
import { plantedFaults } from "../../fuzz/plantedFaults/index.ts";
import { undetectableFaults } from "../../fuzz/plantedFaults/undetectable.ts";
import { promises } from "../../fuzz/promises/index.ts";
import { fuzz } from "../../fuzz/run.ts";
import { type Program, startFuzzedService } from "../../fuzz/service.ts";
import { createDatabase } from "../support/service.ts";

const api = readApi("openapi.yaml");
const mostRequests = 30_000;

/** Fuzzes a service of this program; what a fault breaks is checked first. @returns the first finding */
async function find(program: Program | undefined, first: string) {
  const databaseUrl = await createDatabase();
  const start = (settings: Record<string, string>) => startFuzzedService(databaseUrl, settings, program);
  const seen = new Map<string, Set<number>>();
  if (first === "outages") {
    const note = (operation: string, status: number) =>
      seen.set(operation, (seen.get(operation) ?? new Set()).add(status));
    const failure = await checkOutages({
      api,
      database: { databaseUrl, administrator: inject("postgres") },
      start,
      seen: note,
    });
    return { failure, requests: 0, seen, unchecked: new Map<string, string>() };
  }
  // Estimating passwords takes longest, and breaks nothing else.
  const service = await start({ PASSWORD_BLOCKLIST: first === "weak-passwords-are-refused" ? "on" : "off" });
  const order = [first, ...Object.keys(promises).filter((name) => name !== first)];
  try {
    return { ...(await fuzz({ api, ...service, seed: 1, requests: mostRequests, promises: order })), seen };
  } finally {
    await service.close();
  }
}

describe("a planted fault is found", () => {
  test.concurrent.each(plantedFaults)("$name", async ({ name, edits, finds, what }) => {
    const { failure, requests } = await find(await buildFaulty(name, edits), finds);
    expect(failure?.what).toMatch(what);
    expect(failure?.promise ?? "outages").toBe(finds);
    expect(failure?.curl.length).toBeGreaterThan(0);
    expect(requests).toBeLessThanOrEqual(mostRequests);
  });
});

test.concurrent.each(undetectableFaults)("$name is not found, as documented", async ({ name, edits, nearest }) => {
  const program = await buildFaulty(name, edits);
  const service = await startFuzzedService(await createDatabase(), { PASSWORD_BLOCKLIST: "off" }, program);
  const { failure } = await fuzz({ api, ...service, seed: 1, requests: 0, promises: [nearest] });
  await service.close();
  expect(failure?.what).toBeUndefined();
});

test("the service keeps every promise, and random requests find nothing", async () => {
  const service = await startFuzzedService(await createDatabase());
  const { failure, unchecked } = await fuzz({ api, ...service, seed: 1, requests: 500 });
  await service.close();
  expect(failure?.curl.join("\n")).toBeUndefined();
  expect(Object.fromEntries(unchecked)).toEqual({});
});

test("responses are as declared while parts of the service are unavailable", async () => {
  const { failure, seen } = await find(undefined, "outages");
  expect(failure?.what).toBeUndefined();
  for (const { id, statuses } of api.operations) {
    const expected = statuses.filter((status) => [429, 503].includes(status));
    const ofBearer = api.operations.find((one) => one.id === id)?.schemes.join() === "bearer";
    expect([...(seen.get(id) ?? [])], id).toEqual(expect.arrayContaining(ofBearer ? [503] : expected));
  }
});
