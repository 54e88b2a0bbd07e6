/** Content negotiation and conditional requests (RFC 9110, sections 12 and 13). */
import { expect } from "vitest";
import { type CasesByStatus, each, type OperationUnderTest, successOf } from "../cases.ts";
import { startTestService } from "../service.ts";

/** 406: the client accepts no form that the operation has. */
export function acceptCases(tested: OperationUnderTest): CasesByStatus {
  const { service, target, request } = tested;
  const { method } = tested.operation;
  return {
    [successOf(tested)]: each(
      "where Accept is %s",
      [
        ["*/*"],
        ["text/plain;q=0.1, */*;q=0.1"],
        ["application/json;charset=utf-8, text/html;charset=utf-8, application/yaml"],
      ],
      async (accept) => {
        const sent = await request();
        const headers = { ...sent.headers, accept };
        expect((await service.send(method, target, { ...sent, headers })).status).toBe(successOf(tested));
      },
    ),
    406: {
      "where Accept rules out the answer": async () => {
        const sent = await request();
        const headers = { ...sent.headers, accept: "image/png" };
        const answer = await service.send(method, target, { ...sent, headers });
        expect(answer).toMatchObject({ status: 406, problem: "not-acceptable" });
      },
    },
  };
}

/** Without a declared 304, conditional headers change nothing. */
export function unconditionalCases(tested: OperationUnderTest): CasesByStatus {
  const { service, target, request } = tested;
  return {
    [successOf(tested)]: {
      "in full, whatever the client has cached": async () => {
        const sent = await request();
        const headers = { ...sent.headers, "if-none-match": "*", "if-modified-since": new Date().toUTCString() };
        const answer = await service.send(tested.operation.method, target, { ...sent, headers });
        expect(answer.status).toBe(successOf(tested));
      },
    },
  };
}

/** 304, and the content codings of a document that is the same for everybody. */
export function conditionalCases({ service, target }: OperationUnderTest): CasesByStatus {
  const get = (headers: Record<string, string>, method = "GET") => service.send(method, target, { headers });
  return {
    200: each<[string | undefined, string | undefined]>(
      "where Accept-Encoding is %s",
      [
        [undefined, undefined],
        ["", undefined],
        ["br", "br"],
        ["gzip", "gzip"],
        ["GZIP", "gzip"],
        ["gzip, deflate, br, zstd", "br"],
        ["gzip;q=1, br;q=0.5", "gzip"],
        ["br;q=0, gzip;q=0.001", "gzip"],
        ["*", "br"],
        ["*;q=0.5, identity", undefined],
        ["identity", undefined],
        ["identity;q=0, *", "br"],
        ["br;q=0, *;q=0.1", "gzip"],
        ["deflate, zstd", undefined],
        ["gzip;q=0, br;q=0", undefined],
        ["nonsense;;q=x,,", undefined],
      ],
      async (accepted, coding) => {
        const headers: Record<string, string> = accepted === undefined ? {} : { "accept-encoding": accepted };
        const answer = await get(headers);
        expect(answer.status).toBe(200);
        expect(answer.header("content-encoding")).toBe(coding);
        expect(answer.header("vary")).toBe("Accept-Encoding");
        expect(answer.text).toBe((await get({})).text);
        const head = await get(headers, "HEAD");
        for (const name of ["content-length", "content-encoding", "etag", "vary", "cache-control"]) {
          expect(head.header(name), name).toBe(answer.header(name));
        }
      },
    ),
    304: {
      "where If-None-Match names the ETag, which each content coding has for itself": async () => {
        const etags = new Set<string>();
        for (const accepted of ["br", "gzip", "identity"]) {
          const accept = { "accept-encoding": accepted };
          const whole = await get(accept);
          const etag = whole.header("etag") ?? "";
          etags.add(etag);
          for (const named of [etag, `W/${etag}`, `"other", ${etag}`, `"other",\t${etag} , W/"x"`, "*"]) {
            for (const method of ["GET", "HEAD"]) {
              const answer = await get({ ...accept, "if-none-match": named, "cache-control": "no-cache" }, method);
              expect(answer).toMatchObject({ status: 304, text: "" });
              for (const name of ["etag", "vary", "cache-control", "content-security-policy"]) {
                expect(answer.header(name), name).toBe(whole.header(name));
              }
              for (const name of ["content-type", "content-encoding"]) {
                expect(answer.header(name), name).toBeUndefined();
              }
            }
          }
          for (const named of ['"other"', etag.slice(1), etag.replaceAll('"', ""), `x${etag}`, ""]) {
            expect((await get({ ...accept, "if-none-match": named })).status, named).toBe(200);
          }
        }
        expect(etags.size).toBe(3);
        const [br = ""] = etags;
        expect((await get({ "accept-encoding": "gzip", "if-none-match": br })).status).toBe(200);
      },
    },
    404: {
      "where DOCUMENTATION is off, also for a client that has cached it": async () => {
        const without = await startTestService({ DOCUMENTATION: "off" }, service.databaseUrl);
        for (const headers of [{}, { "if-none-match": "*" }]) {
          const answer = await without.send("GET", target, { headers });
          expect(answer).toMatchObject({ status: 404, problem: "not-found" });
          expect(answer.json.detail).toBeUndefined();
        }
        await without.close();
      },
    },
    406: each(
      "where Accept-Encoding is %s",
      [["identity;q=0"], ["*;q=0"], ["br;q=0, gzip;q=0, identity;q=0"], ["deflate, *;q=0"]],
      async (accepted) => {
        const answer = await get({ "accept-encoding": accepted });
        expect(answer).toMatchObject({ status: 406, problem: "not-acceptable" });
        expect(answer.json.detail).toContain("gzip");
      },
    ),
  };
}
