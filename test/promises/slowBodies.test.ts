/** Every operation that reads a body stops waiting for one that does not arrive. All operations are tested at the same time. */
import { describe, expect, test } from "vitest";
import { readApi } from "../../fuzz/contract/operations.ts";
import { basicAuthorization, type Received, sendRaw } from "../support/client.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const authorization = `Authorization: ${basicAuthorization(await service.administrator())}\r\n`;
const { operations } = readApi("openapi.yaml");
const withBody = operations.filter(({ body }) => body !== undefined);

/** The ends of two requests: a body that is shorter than its length, and one that lacks a chunk. */
const unfinished = ["Content-Length: 20\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n5\r\n{"];

const requests = withBody.map(({ id, method, path, schemes, body }): [string, Promise<Received[]>] => {
  // No such resource is needed: the body is read first.
  const target = path.replaceAll(/\{\w+\}/g, "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b");
  const head = `${method} ${target} HTTP/1.1\r\nHost: x\r\nContent-Type: ${body?.type}\r\n`;
  const lines = head + (schemes.length > 0 ? authorization : "");
  const answers = Promise.all(unfinished.map((rest) => sendRaw(service.url, lines + rest, method, target)));
  answers.catch(() => {}); // the test awaits them
  return [id, answers];
});

test("exactly the operations with a body declare 408", () => {
  const declared = operations.filter(({ statuses }) => statuses.includes(408));
  expect(declared.map(({ id }) => id)).toEqual(withBody.map(({ id }) => id));
  expect(declared.length).toBeGreaterThan(10);
});

describe("a body that does not arrive is a 408, and closes the connection:", () => {
  test.each(requests)("%s", async (_id, answers) => {
    for (const answer of await answers) {
      expect(answer.status).toBe(408);
      // A problem, or an error of OAuth (RFC 6749).
      expect(answer.problem ?? answer.json.error).toMatch(/^(request-timeout|invalid_request)$/);
      expect(answer.header("connection")).toBe("close");
      expect(answer.header("content-security-policy")).toBeDefined();
    }
  });
});
