/** The fuzzer detects the faults that it is for, each planted into the real service, and finds nothing in the service itself. */
import { describe, expect, inject, test } from "vitest";
import { readApi } from "../../fuzz/contract/operations.ts";
import { rolesOf } from "../../fuzz/contract/roles.ts";
import { needsFlow } from "../../fuzz/generators/flows.ts";
import { checkOutages, hasOptionalQuery, isForwarded } from "../../fuzz/outages.ts";
import { buildFaulty } from "../../fuzz/plantedFaults/build.ts";
import { plantedFaults } from "../../fuzz/plantedFaults/index.ts";
import { undetectableFaults } from "../../fuzz/plantedFaults/undetectable.ts";
import { promises } from "../../fuzz/promises/index.ts";
import { fuzz } from "../../fuzz/run.ts";
import { type Program, startFuzzedService } from "../../fuzz/service.ts";
import { createDatabase } from "../support/service.ts";

const api = readApi("openapi.yaml");
const maximumRequests = 30_000;

/** Fuzzes a service of this program, beginning with one promise. Returns the first failure. */
async function find(program: Program | undefined, first: string) {
  const databaseUrl = await createDatabase();
  const start = (settings: Record<string, string>) => startFuzzedService(databaseUrl, settings, program);
  const observed = new Map<string, Set<number>>();
  if (first === "outages") {
    const failure = await checkOutages({
      api,
      database: { databaseUrl, administrator: inject("postgres") },
      start,
      observed: (operation, status) => observed.set(operation, (observed.get(operation) ?? new Set()).add(status)),
    });
    return { failure, requests: 0, observed, unchecked: new Map<string, string>() };
  }
  // The strength of passwords takes longest to estimate, and matters to one promise only.
  const service = await start({ PASSWORD_BLOCKLIST: first === "weak-passwords-are-rejected" ? "on" : "off" });
  const order = [first, ...Object.keys(promises).filter((name) => name !== first)];
  try {
    return { ...(await fuzz({ api, ...service, seed: 1, requests: maximumRequests, promises: order })), observed };
  } finally {
    await service.close();
  }
}

describe("a planted fault is detected", () => {
  test.concurrent.each(plantedFaults)("$name", async ({ name, edits, detectedBy, message }) => {
    const { failure, requests } = await find(await buildFaulty(name, edits), detectedBy);
    expect(failure?.what).toMatch(message);
    expect(failure?.promise ?? "outages").toBe(detectedBy);
    expect(failure?.curl.length).toBeGreaterThan(0);
    expect(requests).toBeLessThanOrEqual(maximumRequests);
  });
});

test.concurrent.each(undetectableFaults)("$name is not detected, as documented", async ({ name, edits, nearest }) => {
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

test("a degraded service responds as declared", async () => {
  const { failure, observed } = await find(undefined, "outages");
  expect(failure?.what).toBeUndefined();
  const { revokePresented } = rolesOf(api);
  for (const operation of api.operations) {
    const { id, statuses, schemes } = operation;
    if (isForwarded(operation) || needsFlow(api, operation) || (schemes.length === 0 && hasOptionalQuery(operation)))
      continue;
    // Wrong credentials of clients are limited by address. That limit is too high here.
    const isLimited = operation !== revokePresented;
    const expected = statuses.filter((status) => status === 503 || (status === 429 && isLimited));
    const takesBearerOnly = schemes.join() === "bearer";
    expect([...(observed.get(id) ?? [])], id).toEqual(expect.arrayContaining(takesBearerOnly ? [503] : expected));
  }
});
