/** 500 and 503: errors of the service, without a word of their cause. */
import { expect } from "vitest";
import { type CasesByStatus, type OperationUnderTest, successOf } from "../cases.ts";
import type { Received } from "../client.ts";

export function internalErrorCases({
  service,
  operation: { method },
  target,
  request,
}: OperationUnderTest): CasesByStatus {
  return {
    500: {
      "for an unexpected error, which only the log describes": async () => {
        const sent = await request();
        await service.withBrokenTables(async () => {
          const answer = await service.send(method, target, sent);
          expect(answer).toMatchObject({ status: 500, problem: "internal-error" });
          expectNoCause(answer);
          expect(service.log.at(-1)).toMatch(/users|api_key_secrets|apis|device_codes|clients/);
        });
      },
    },
  };
}

export function databaseAwayCases(tested: OperationUnderTest): CasesByStatus {
  const { service, operation, target, request } = tested;
  const { method } = operation;
  return {
    503: {
      "while the database is away, and succeeds as soon as it is back": async () => {
        const sent = await request();
        await service.withoutDatabase(async () => {
          const answer = await service.send(method, target, sent);
          expect(answer).toMatchObject({ status: 503, problem: "database-unavailable" });
          expect(Number(answer.header("retry-after"))).toBeGreaterThan(0);
          expectNoCause(answer);
        });
        expect((await service.send(method, target, sent)).status).toBe(successOf(tested));
      },
    },
  };
}

function expectNoCause(answer: Received): void {
  expect(answer.json?.detail).toBeUndefined();
  expect(answer.text).not.toMatch(/users|relation|select|\/src\//i);
}
