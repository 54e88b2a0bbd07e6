/** Requests that no operation accepts, HEAD, and methods that a path does not declare. */
import { expect } from "vitest";
import { navigations } from "../../../fuzz/contract/operations.ts";
import { allowedMethods } from "../answers.ts";
import {
  type Cases,
  type CasesByStatus,
  each,
  type OperationUnderTest,
  successOf,
  withoutCredentials,
} from "../cases.ts";
import type { Sent } from "../client.ts";

/** 400: undeclared query parameters, and requests that can be read in two ways. */
export function invalidRequestCases({
  service,
  operation: { id, method },
  target,
  request,
}: OperationUnderTest): CasesByStatus {
  return {
    400: {
      ...(!navigations.includes(id) &&
        each(
          "for an undeclared query parameter %s",
          [
            ["alone", "surprise=1", "surprise"],
            ["in brackets", "[x]=1", "[x]"],
            ["after a thousand empty ones", `${"&".repeat(1000)}surprise=1`, "surprise"],
          ],
          async (_label, query, parameter) => {
            const separator = target.includes("?") ? "&" : "?";
            const answer = await service.send(method, `${target}${separator}${query}`, await request());
            expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
            const description = answer.json ? answer.json.error_description : answer.text;
            // A page shows no text of whoever made the link.
            const shown = answer.json || /^[a-z]+$/.test(parameter) ? parameter : "A parameter";
            if (description) expect(description).toContain(`${shown} is not a query parameter`);
            else expect(answer.json.errors).toMatchObject([{ parameter }]);
          },
        )),
      "for two Authorization headers": async () => {
        const sent = await request();
        const headers = { ...sent.headers, authorization: ["Basic YTpi", "Basic YTpi"] as never };
        const answer = await service.send(method, target, { ...withoutCredentials(sent), headers });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    },
  };
}

/** 403: a page of another origin asks for a change. */
export function crossSiteCases({ service, operation: { method }, target, request }: OperationUnderTest): CasesByStatus {
  return {
    403: {
      "for a page of another origin, before credentials are checked": async () => {
        const sent = await request();
        const hashed = service.hashingWork();
        const headers = { ...sent.headers, origin: "https://evil.example.com", "sec-fetch-site": "cross-site" };
        for (const one of [sent, withoutCredentials(sent), { ...sent, basic: ["miguel", "wrong"] } as Sent]) {
          const answer = await service.send(method, target, { ...one, headers });
          expect(answer).toMatchObject({ status: 403, problem: "cross-site-request" });
          expect(answer.header("www-authenticate")).toBeUndefined();
        }
        expect(service.hashingWork()).toBe(hashed);
      },
    },
  };
}

const sameInHead = ["content-type", "content-length", "content-encoding", "etag", "vary", "cache-control"];

/** HEAD is answered like GET, without a body (RFC 9110, section 9.3.2). */
export function headCases(tested: OperationUnderTest): CasesByStatus {
  const { service, operation, target, request, isVariable } = tested;
  const status = successOf(tested);
  const cases: CasesByStatus = {
    [status]: {
      "to HEAD, with the headers of GET and no body": async () => {
        const sent = await request();
        const get = await service.send("GET", target, sent);
        const head = await service.send("HEAD", target, sent);
        expect(head).toMatchObject({ status, text: "" });
        for (const name of sameInHead) {
          if (name === "content-length" && isVariable) expect(Number(head.header(name))).toBeGreaterThan(0);
          else expect(head.header(name), name).toBe(get.header(name));
        }
      },
    },
  };
  if (operation.schemes.length === 0) return cases;
  return {
    ...cases,
    401: {
      "to HEAD without credentials": async () => {
        expect((await service.send("HEAD", target)).status).toBe(401);
      },
    },
  };
}

/** 405 is no answer of an operation, but of a path. */
export function methodCases({ service, target }: OperationUnderTest): Cases {
  const allowed = allowedMethods(target);
  return {
    "405 for every method that the path does not declare, with those that it does": async () => {
      const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"];
      for (const method of methods.filter((one) => !allowed.includes(one))) {
        const answer = await service.send(method, target);
        expect(answer, method).toMatchObject({ status: 405, problem: "method-not-allowed" });
        expect(answer.header("allow")).toBe(allowed.join(", "));
      }
    },
  };
}
