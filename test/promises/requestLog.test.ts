import { pino } from "pino";
import { expect, test, vi } from "vitest";
import { startTestService } from "../support/service.ts";

test("the log lines of requests have the format of all other lines", async () => {
  const { send, log, token, register } = await startTestService();
  const requestLines = () => log.filter((line) => line.includes('"msg":"request '));
  await register("miguel");
  await send("GET", "/api/resource", { bearer: await token("miguel") });
  await send("GET", "/unknown");
  await vi.waitFor(() => expect(requestLines().at(-1)).toContain('"problem":"not-found"'), 15_000);

  for (const line of requestLines()) {
    const { level: _level, time, pid, hostname, msg, ...members } = JSON.parse(line);
    const expected: string[] = [];
    const write = (text: string) => void expected.push(text);
    pino({ base: { pid, hostname }, timestamp: () => `,"time":${time}` }, { write }).info(members, msg);
    expect(line).toBe(expected[0]);
  }
  // On a busy machine, registrations and sign-ins are repeated.
  const [registration, signIn, check, unknown] = requestLines()
    .filter((line) => !line.includes('"problem":"overloaded"'))
    .map((line) => JSON.parse(line));
  expect(registration).toMatchObject({ operation: "createUser", res: { status: 201 }, msg: "request completed" });
  expect(signIn).toMatchObject({ operation: "issueToken", res: { status: 200 } });
  expect(check).toMatchObject({
    req: { id: expect.stringMatching(/^[\da-f-]{36}$/), method: "GET", address: "127.0.0.1" },
    operation: "getResource",
    res: { status: 200 },
    responseTime: expect.any(Number),
  });
  expect(unknown).toMatchObject({ problem: "not-found", res: { status: 404 } });
});
