/** The metrics are correct, and the dashboard and alerts use existing ones. */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { auditEvents } from "../../src/audit/audit.ts";
import { problems } from "../../src/problems/catalogue.ts";
import { password, startTestService, type TestService, toNextWindowSeconds } from "../support/service.ts";

const service = await startTestService({ METRICS_PORT: "0", THROTTLE_ACCOUNT_ADDRESS: "1" });
service.advance(toNextWindowSeconds());
const metricsUrl = (of: TestService): string =>
  JSON.parse(of.log.find((line) => line.includes('"metrics"')) ?? "{}").url;
const read = async (of = service) => (await fetch(metricsUrl(of))).text();
/** The value of a series, as text. */
const valueIn = (text: string, series: string) =>
  Number(
    text
      .split("\n")
      .find((line) => line.startsWith(`${series} `))
      ?.split(" ")
      .at(-1) ?? Number.NaN,
  );

await service.register("miguel");
const bearer = await service.token("miguel");
await service.send("GET", "/api/resource", { bearer });
await service.send("GET", "/api/resource", { bearer });
await service.send("GET", "/api/resource", { bearer: "forged" });
await service.send("GET", "/nowhere/secret-path?secret-query");
await service.send("GET", "/api/resource", { basic: ["miguel", "wrong password"] });
await service.send("GET", "/api/resource", { basic: ["miguel", password] });
await service.send("DELETE", "/api/token", { bearer });

describe("the metrics", () => {
  test.each([
    ['latchkey_http_requests_total{operation="getResource",status="200",problem=""}', 2],
    ['latchkey_http_requests_total{operation="getResource",status="401",problem="invalid-token"}', 1],
    ['latchkey_http_requests_total{operation="getResource",status="429",problem="too-many-requests"}', 1],
    ['latchkey_http_requests_total{operation="none",status="404",problem="not-found"}', 1],
    ['latchkey_http_request_duration_seconds_count{operation="getResource"}', 5],
    ['latchkey_audit_events_total{event="refresh-token-reused"}', 0],
    ['latchkey_http_requests_total{operation="createUser",status="500",problem="internal-error"}', 0],
    ['latchkey_throttled_total{limit="account-address"}', 1],
    ['latchkey_audit_events_total{event="user-registered"}', 1],
    ['latchkey_audit_events_total{event="token-refused"}', 1],
    ["latchkey_hashing_wait_seconds_count", 3],
    ["latchkey_hashing_waiting", 0],
    ["latchkey_hashing_running", 0],
    ["latchkey_database_requests_waiting", 0],
    ["latchkey_database_connections_used", 0],
    ["latchkey_revocations", 1],
    ['latchkey_signing_key_info{algorithm="ES256"}', 1],
    [`latchkey_info{version="${JSON.parse(readFileSync("package.json", "utf8")).version}"}`, 1],
  ])("%s is %d", async (series, value) => {
    // Events are written in the background, over connections to the same database.
    await expect.poll(async () => valueIn(await read(), series), { timeout: 5_000 }).toBe(value);
  });

  test("count no request before the first one of a client: the service's own warm-up is no traffic", async () => {
    const idle = await startTestService({ METRICS_PORT: "0" }, service.databaseUrl);
    const counted = (text: string) =>
      text.split("\n").filter((line) => /^latchkey_http_request(s_total|_duration_seconds_count)\{.* [1-9]/.test(line));
    expect(counted(await read(idle))).toEqual([]);
    await idle.send("GET", "/livez");
    expect(counted(await read(idle))).toEqual([
      'latchkey_http_requests_total{operation="getLiveness",status="200",problem=""} 1',
      'latchkey_http_request_duration_seconds_count{operation="getLiveness"} 1',
    ]);
  });

  test("show the staleness of the revocations", async () => {
    const staleness = () => read().then((text) => valueIn(text, "latchkey_revocations_staleness_seconds"));
    expect(await staleness()).toBeLessThan(2);
    await service.withoutDatabase(async () => {
      await service.sql("SELECT 1").catch(() => {});
      const before = await staleness();
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      expect((await staleness()) - before).toBeGreaterThan(1);
    });
  });

  test("show the open connections", async () => {
    const open = async () => valueIn(await read(), "latchkey_http_connections");
    await vi.waitUntil(async () => (await open()) === 0, 15_000);
    const sockets = [1, 2].map(() => connect(Number(new URL(service.url).port), "127.0.0.1"));
    await vi.waitUntil(async () => (await open()) === 2, 15_000);
    for (const socket of sockets) socket.destroy();
    await vi.waitUntil(async () => (await open()) === 0, 15_000);
  });

  test("show the event loop, the memory and the pool", async () => {
    // The database was away: a request opens a connection again.
    await vi.waitUntil(async () => (await service.send("GET", "/readyz")).status !== 503, 15_000);
    const text = await read();
    for (const name of [
      "nodejs_eventloop_lag_p99_seconds",
      "process_resident_memory_bytes",
      "latchkey_database_connections_free",
    ]) {
      expect(valueIn(text, name)).toBeGreaterThan(0);
    }
  });

  test("contain nothing that a client sent", async () => {
    expect(await read()).not.toMatch(/secret-path|secret-query|miguel|wrong password|nowhere/);
  });

  test("are served on their own port only, and nothing else is", async () => {
    const { origin } = new URL(metricsUrl(service));
    expect((await fetch(`${origin}/`)).status).toBe(404);
    expect((await fetch(`${origin}/metrics`, { method: "POST" })).status).toBe(404);
    expect((await service.send("GET", "/metrics")).status).toBe(404);
  });

  test("are off by default", async () => {
    const without = await startTestService({}, service.databaseUrl);
    expect(without.log.some((line) => line.includes('"metrics"'))).toBe(false);
  });
});

describe("deploy/", () => {
  const names = async () => new Set([...(await read()).matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name as string));
  const namesIn = (expression: string) =>
    [...expression.matchAll(/\b(?:latchkey|nodejs|process)_\w+/g)].map(([name]) =>
      name.replace(/_(bucket|sum|count)$/, ""),
    );
  const dashboard = JSON.parse(readFileSync("deploy/grafana-dashboard.json", "utf8")) as {
    panels: { title: string; targets?: { expr: string }[] }[];
  };
  const { groups } = parse(readFileSync("deploy/prometheus-alerts.yaml", "utf8")) as {
    groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[];
  };
  const alerts = groups.flatMap(({ rules }) => rules);

  test("the dashboard shows each metric, and no others", async () => {
    const asked = dashboard.panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => namesIn(expr)));
    const known = await names();
    expect(asked.filter((name) => !known.has(name))).toEqual([]);
    expect([...known].filter((name) => name.startsWith("latchkey_") && !asked.includes(name))).toEqual([]);
  });

  test("the alerts use existing metrics and labels", async () => {
    const known = await names();
    const text = await read();
    expect(alerts.length).toBeGreaterThan(5);
    for (const { alert, expr } of alerts) {
      expect(namesIn(expr).length, alert).toBeGreaterThan(0);
      expect(
        namesIn(expr).filter((name) => !known.has(name)),
        alert,
      ).toEqual([]);
      for (const [, label = "", value = ""] of expr.matchAll(/(\w+)="(\w[\w-]*)"/g)) {
        expect(text, alert).toContain(`${label}="`);
        if (label === "problem") expect(Object.keys(problems)).toContain(value);
        if (label === "event") expect(Object.keys(auditEvents)).toContain(value);
      }
    }
  });

  test("every alert has a section in RUNBOOK.md", () => {
    const runbook = readFileSync("RUNBOOK.md", "utf8");
    const headings = [...runbook.matchAll(/^### (Latchkey\w+)$/gm)].map(([, name]) => name);
    expect(headings).toEqual(alerts.map(({ alert }) => alert));
    for (const { alert, annotations } of alerts) {
      expect(annotations["runbook_url"], alert).toContain(`RUNBOOK.md#${alert.toLowerCase()}`);
    }
  });
});
