/** 400, 413 and 415: request bodies that are not read, or not to their end. */
import { expect } from "vitest";
import { encodeBody, typeOfBody } from "../../../fuzz/contract/bodies.ts";
import type { OperationId } from "../../../src/openapi/binding.ts";
import { bodyLimits } from "../../../src/operations.ts";
import { type CasesByStatus, each, type OperationUnderTest } from "../cases.ts";
import { basicAuthorization, type Sent, sendRaw } from "../client.ts";

export function bodyCases({ service, operation, target, request }: OperationUnderTest): CasesByStatus {
  const { method } = operation;
  const tooLarge = (bodyLimits[operation.id as OperationId] ?? 16_384) + 4_000;
  const type = typeOfBody(operation);
  const withoutBody = async (): Promise<Sent> => {
    const { json: _, form: _form, ...rest } = await request();
    return rest;
  };
  /** The lines up to the headers that say how long the body is. */
  const head = async (): Promise<string> => {
    const { basic } = await request();
    const authorization = basic ? `Authorization: ${basicAuthorization(basic)}\r\n` : "";
    return `${method} ${target} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\n${authorization}`;
  };

  return {
    400: {
      "for a body with a malformed chunk": async () => {
        const bytes = `${await head()}Transfer-Encoding: chunked\r\n\r\nzz\r\n`;
        const answer = await sendRaw(service.url, bytes, method, target);
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(answer.header("connection")).toBe("close");
      },
    },
    413: {
      "for a body of 10 MB": async () => {
        const answer = await service.send(method, target, {
          ...(await withoutBody()),
          body: `"${"x".repeat(10_000_000)}"`,
          headers: { "content-type": type },
        });
        expect(answer).toMatchObject({ status: 413, problem: "payload-too-large" });
      },
      "as soon as the length or the bytes so far are too large": async () => {
        const lines = await head();
        const chunk = `${tooLarge.toString(16)}\r\n${"x".repeat(tooLarge)}\r\n`;
        for (const rest of ["Content-Length: 300000000\r\n\r\n{", `Transfer-Encoding: chunked\r\n\r\n${chunk}`]) {
          const answer = await sendRaw(service.url, lines + rest, method, target);
          expect(answer).toMatchObject({ status: 413, problem: "payload-too-large" });
        }
      },
    },
    415: each<[string, Record<string, string>]>(
      "for %s",
      [
        ["another media type", { "content-type": "text/plain" }],
        ["no Content-Type", {}],
        ["another charset", { "content-type": `${type}; charset=utf-16` }],
        ["a hidden charset", { "content-type": `${type}; x="; charset=utf-8"; charset=utf-16le` }],
        ["a compressed body", { "content-type": type, "content-encoding": "gzip" }],
      ],
      async (_label, headers) => {
        const { json, form } = await request();
        const body = encodeBody(operation, JSON.stringify(json ?? form ?? {})); // a body that is optional
        const answer = await service.send(method, target, { ...(await withoutBody()), body, headers });
        expect(answer).toMatchObject({ status: 415, problem: "unsupported-media-type" });
      },
    ),
  };
}
