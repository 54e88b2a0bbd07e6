/** 401 and 429: each reason to reject credentials has its problem and its challenge. */
import { expect } from "vitest";
import { type CasesByStatus, type OperationUnderTest, withoutCredentials } from "../cases.ts";
import type { Sent } from "../client.ts";
import { password, startTestService, type TestService, toNextWindowSeconds } from "../service.ts";

/** The operation accepts a password or a token. */
export function basicOrBearerCases({
  service,
  operation: { method },
  target,
  request,
}: OperationUnderTest): CasesByStatus {
  const send = async (sent: Sent = {}) =>
    service.send(method, target, { ...withoutCredentials(await request()), ...sent });
  return {
    401: {
      "without credentials, with both challenges": async () => {
        const answer = await send();
        expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
        expect(answer.headers["www-authenticate"]).toEqual([
          'Basic realm="latchkey", charset="UTF-8"',
          'Bearer realm="latchkey"',
        ]);
      },
      "to a script in a page, without the Basic challenge": async () => {
        const answer = await send({ headers: { "sec-fetch-dest": "empty" } });
        expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
        expect(answer.headers["www-authenticate"]).toEqual(['Bearer realm="latchkey"']);
      },
      "for a forged token, as Bearer and as the Basic username": async () => {
        const forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.";
        for (const credentials of [{ bearer: forged }, { basic: [forged, "unused"] as [string, string] }]) {
          const answer = await send(credentials);
          expect(answer).toMatchObject({ status: 401, problem: "invalid-token" });
          expect(answer.header("www-authenticate")).toContain('Bearer realm="latchkey", error="invalid_token"');
        }
      },
      "for a wrong password": async () => {
        const answer = await send({ basic: ["nobody", "wrong password"] });
        expect(answer).toMatchObject({ status: 401, problem: "invalid-credentials" });
      },
    },
  };
}

/** The operation requires the password itself. */
export function basicCases({ service, operation: { method }, target }: OperationUnderTest): CasesByStatus {
  return {
    401: {
      "without credentials, with the Basic challenge only": async () => {
        const answer = await service.send(method, target);
        expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
        expect(answer.headers["www-authenticate"]).toEqual(['Basic realm="latchkey", charset="UTF-8"']);
      },
      "to a script in a page, with a challenge for which no browser opens a dialog": async () => {
        for (const credentials of [{}, { basic: ["nobody", "wrong password"] as [string, string] }]) {
          const answer = await service.send(method, target, { ...credentials, headers: { "sec-fetch-dest": "empty" } });
          expect(answer.status).toBe(401);
          expect(answer.headers["www-authenticate"]).toEqual(['Password realm="latchkey"']);
        }
      },
      "for a token, as Bearer and as the Basic username": async () => {
        const { username } = await service.register();
        const token = await service.token(username);
        const asBearer = await service.send(method, target, { bearer: token });
        expect(asBearer).toMatchObject({ status: 401, problem: "authentication-required" });
        const asUsername = await service.send(method, target, { basic: [token, "unused"] });
        expect(asUsername).toMatchObject({ status: 401, problem: "invalid-credentials" });
        expect((await service.send("GET", "/api/users/me", { bearer: token })).status).toBe(200);
      },
      "for a wrong password": async () => {
        const { username } = await service.register();
        const answer = await service.send(method, target, { basic: [username, "wrong password"] });
        expect(answer).toMatchObject({ status: 401, problem: "invalid-credentials" });
      },
    },
  };
}

/** The operation requires a token. */
export function bearerCases({ service, operation: { method }, target }: OperationUnderTest): CasesByStatus {
  return {
    401: {
      "without a token, with the Bearer challenge only": async () => {
        const answer = await service.send(method, target);
        expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
        expect(answer.headers["www-authenticate"]).toEqual(['Bearer realm="latchkey"']);
      },
      "for a password": async () => {
        const { username } = await service.register();
        const answer = await service.send(method, target, { basic: [username, password] });
        expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
      },
    },
  };
}

/** 403: the operation requires scopes, which an ordinary user does not have. */
export function scopeCases({
  service,
  operation: { method, scopes, statuses, schemes },
  target,
  request,
}: OperationUnderTest): CasesByStatus {
  const isOptional = schemes.length === 0 || !statuses.includes(401);
  if (isOptional) return {};
  const scope = scopes.join(" ");
  return {
    403: {
      "for a user without the scope, which the problem and the challenge name": async () => {
        const { username } = await service.register();
        const sent = withoutCredentials(await request());
        for (const credentials of [
          { basic: [username, password] as [string, string] },
          { bearer: await service.token(username) },
        ]) {
          const answer = await service.send(method, target, { ...sent, ...credentials });
          expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope" });
          if (!answer.json.error) expect(answer.json.scope).toBe(scope);
          expect(answer.header("www-authenticate")).toBe(
            `Bearer realm="latchkey", error="insufficient_scope", scope="${scope}"`,
          );
        }
      },
    },
  };
}

/** 403: the credential is limited to other scopes, whatever its user may do. */
export function limitedTokenCases({
  service,
  operation: { method, scopes },
  target,
  request,
}: OperationUnderTest): CasesByStatus {
  return {
    403: {
      "for a token that is limited to another scope, as Bearer and as the Basic username": async () => {
        const { basic, ...rest } = await withPassword(service, await request());
        const other = ["account:read", "account:write"].find((scope) => !scopes.includes(scope));
        const { token } = (await service.send("GET", `/api/token?scope=${other}`, { basic: basic ?? ["", ""] })).json;
        for (const credentials of [{ bearer: token }, { basic: [token, "unused"] as [string, string] }]) {
          const answer = await service.send(method, target, { ...rest, ...credentials });
          expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope" });
          expect(answer.header("www-authenticate")).toContain(
            `error="insufficient_scope", scope="${scopes.join(" ")}"`,
          );
        }
      },
    },
  };
}

/** 429: passwords cannot be guessed. */
export function guessingCases({ service, operation: { method }, target, request }: OperationUnderTest): CasesByStatus {
  return {
    429: {
      "after too many wrong passwords, also for the right one": async () => {
        const { basic: [username, password] = ["", ""], ...rest } = await withPassword(service, await request());
        const strict = await startTestService({ THROTTLE_ACCOUNT_ADDRESS: "1" }, service.databaseUrl);
        strict.advance(toNextWindowSeconds());
        const guess = (secret: string) => strict.send(method, target, { ...rest, basic: [username, secret] });
        expect(await guess("wrong password")).toMatchObject({ status: 401, problem: "invalid-credentials" });
        for (const secret of ["wrong password", password]) {
          const answer = await guess(secret);
          expect(answer).toMatchObject({ status: 429, problem: "too-many-requests" });
          expect(Number(answer.header("retry-after"))).toBeLessThanOrEqual(900);
        }
      },
    },
  };
}

/** Replaces a token with the password of its user. */
async function withPassword(service: TestService, sent: Sent): Promise<Sent> {
  if (sent.basic) return sent;
  const { json } = await service.send("GET", "/api/users/me", sent);
  return { ...withoutCredentials(sent), basic: [json.username, password] };
}
