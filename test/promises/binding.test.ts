/**
 * Wrong handlers do not compile: `npm run typecheck` fails where a line marked as an error
 * compiles. At run time this file only has to load.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";
import type { Call, Handler, Handlers, Reply } from "../../src/openapi/binding.ts";
import type { ClientPrincipal, PasswordPrincipal, TokenPrincipal, UserPrincipal } from "../../src/principal.ts";
import { problems } from "../../src/problems/catalogue.ts";
import { Problem } from "../../src/problems/problems.ts";

const user = {
  id: "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b",
  username: "miguel",
  created_at: "2026-11-23T09:30:00.000Z",
  blocked: false,
  roles: [],
};

export const right: Pick<Handlers, "createUser" | "deleteUser" | "getResource"> = {
  createUser: ({ body }) => ({ status: 201, headers: { Location: `/api/users/${body.username}` }, body: user }),
  deleteUser: () => ({ status: 204 }),
  getResource: ({ principal }) => ({ status: 200, body: { data: principal.username } }),
};

// @ts-expect-error a handler is missing
export const missing: Handlers = right;
// @ts-expect-error there is no such operation
export type Unknown = Handler<"dropTable">;
// @ts-expect-error the status is not declared
export const wrongStatus: Handler<"getUser"> = () => ({ status: 201, body: user });
// @ts-expect-error a problem is thrown, not returned
export const returnedProblem: Handler<"getUser"> = () => ({ status: 404 });
// @ts-expect-error the Location is missing
export const missingHeader: Handler<"createUser"> = () => ({ status: 201, body: user });
// @ts-expect-error the ETag is missing, which only a response with a 304 gets from negotiation
export const missingETag: Handler<"getUser"> = () => ({ status: 200, body: user });
// @ts-expect-error Cache-Control is fixed by the contract, not set by handlers
export const fixedHeader: Handler<"getUser"> = () => ({ status: 200, headers: { "Cache-Control": "x" }, body: user });
// @ts-expect-error a member of the body is missing
export const wrongBody: Handler<"issueToken"> = () => ({ status: 200, body: { token: "a.b.c" } });
// @ts-expect-error there is no body with 204
export const needlessBody: Handler<"deleteUser"> = () => ({ status: 204, body: user });
// @ts-expect-error an open operation has no principal
export const noPrincipal: Handler<"getLiveness"> = ({ principal }) => principal.username;
// @ts-expect-error the credentials are optional
export const optionalPrincipal: Handler<"createUser"> = ({ principal }) => principal.username;
// @ts-expect-error the parameter is not declared
export const noParameter: Handler<"getUser"> = ({ path }) => path.name;
// @ts-expect-error the operation has no body
export const noRequestBody: Handler<"deleteUser"> = ({ body }) => body.password;
// @ts-expect-error the problem is not in the catalogue
export const unknownProblem = () => new Problem("bad-mood");

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const assertType = <_ extends true>() => {};
assertType<Equal<Call<"deleteUser">["principal"], PasswordPrincipal>>();
assertType<Equal<Call<"getUser">["principal"], UserPrincipal | ClientPrincipal>>();
assertType<Equal<Call<"listSessions">["principal"], PasswordPrincipal | TokenPrincipal>>();
assertType<Equal<Call<"getLiveness">["principal"], undefined>>();
assertType<Equal<Call<"updateUser">["header"], { "If-Match"?: string }>>();
assertType<Equal<Reply<"deleteUser">["status"], 204>>();

/** The statuses that the contract gives each problem, in schemas and in examples. */
function declaredStatuses(value: unknown, found = new Map<string, Set<number>>()): Map<string, Set<number>> {
  if (typeof value !== "object" || value === null) return found;
  const { type, status, properties } = value as Record<string, unknown>;
  const schemas = properties as { type?: { const?: string; enum?: string[] }; status?: { const?: number } } | undefined;
  const types = [type, schemas?.type?.const, ...(schemas?.type?.enum ?? [])];
  const declared = schemas?.status?.const ?? status;
  for (const each of types) {
    if (typeof each !== "string" || !each.startsWith("/problems/") || typeof declared !== "number") continue;
    const slug = each.slice("/problems/".length);
    found.set(slug, (found.get(slug) ?? new Set()).add(declared));
  }
  for (const part of Object.values(value)) declaredStatuses(part, found);
  return found;
}

type DeclaredResponses = { responses?: Record<string, { $ref?: string }> };
type Document = {
  paths: Record<string, Record<string, DeclaredResponses>>;
  components: { responses: Record<string, unknown> };
};

/** Adds the statuses of problems that only errors of OAuth refer to, which have no member for the status. */
function addOAuthStatuses({ paths, components }: Document, found: Map<string, Set<number>>): void {
  for (const { responses = {} } of Object.values(paths).flatMap((item) => Object.values(item))) {
    for (const [status, response] of Object.entries(responses)) {
      const shared = response.$ref && components.responses[response.$ref.slice("#/components/responses/".length)];
      const text = JSON.stringify(shared ?? response);
      for (const [, slugs = ""] of text.matchAll(/"error_uri":\{"(?:enum|const)":(\[[^\]]*\]|"[^"]*")/g)) {
        for (const [, slug = ""] of slugs.matchAll(/"\/problems\/([a-z-]+)"/g)) {
          found.set(slug, (found.get(slug) ?? new Set()).add(Number(status)));
        }
      }
    }
  }
}

test("each problem has the one status that the contract declares for it", () => {
  const document = parse(readFileSync("openapi.yaml", "utf8"));
  const declared = declaredStatuses(document);
  addOAuthStatuses(document, declared);
  declared.set("method-not-allowed", new Set([405])); // the answer to a request for no operation
  declared.set("verification-unavailable", new Set([503])); // only @latchkey/verify responds with it
  const catalogue = Object.entries(problems).map(([slug, { status }]) => [slug, [status]]);
  expect(Object.fromEntries([...declared].map(([slug, statuses]) => [slug, [...statuses]]))).toEqual(
    Object.fromEntries(catalogue),
  );
});
