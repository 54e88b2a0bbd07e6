/** No password, token or key is in a log, in the database, or in a response where it does not belong. */
import { randomBytes } from "node:crypto";
import { expect, test, vi } from "vitest";
import { basicAuthorization, createClient, type Received, registerUser, sendRaw } from "../support/client.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, secretKey, startTestService } from "../support/service.ts";

const service = await startTestService({ METRICS_PORT: "0" });

/** A secret in every form in which it might be written. */
const formsOf = (secret: string): string[] => {
  // Within a longer text, base64 depends on the position of the secret.
  const base64 = [0, 1, 2].map((offset) => {
    const encoded = Buffer.from(`${"x".repeat(offset)}${secret}`).toString("base64");
    return encoded.slice(offset === 0 ? 0 : 4, -4);
  });
  return [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    Buffer.from(secret).toString("hex"),
    ...base64,
    ...base64.map((form) => form.replaceAll("+", "-").replaceAll("/", "_")),
  ];
};
const leaksIn = (text: string, secrets: Iterable<string>): string[] =>
  [...secrets].filter((secret) => formsOf(secret).some((form) => text.toLowerCase().includes(form.toLowerCase())));

/** Everything in a service's database, rows as text. */
async function dump(): Promise<string> {
  const tables = await service.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'latchkey'");
  expect(tables.length).toBeGreaterThan(7);
  const rows = await Promise.all(
    tables.map(({ tablename }) => service.sql(`SELECT t::text AS row FROM ${tablename} t`)),
  );
  // A bytea is shown in hex, which is one of the forms.
  return rows.flatMap((table) => table.map(({ row }) => row)).join("\n");
}

/** Secrets of this run, unlike any other text. */
const planted = new Map<string, string>();
const plant = (name: string): string => {
  const secret = `planted-${name}-${randomBytes(9).toString("base64url")}`;
  planted.set(name, secret);
  return secret;
};

test("secrets planted everywhere are not in logs, metrics, the database or responses", async () => {
  const password = plant("password");
  const register = { username: "gardener", password };
  const answers: Received[] = [];
  const send = async (...request: Parameters<typeof service.send>): Promise<Received> => {
    const answer = await service.send(...request);
    answers.push(answer);
    return answer;
  };
  await send("POST", "/api/users", { json: register });
  const basic: [string, string] = ["gardener", password];
  // Returned by these two responses, and by nothing else.
  const { token } = (await service.send("GET", "/api/token", { basic })).json;
  const session = (await service.send("POST", "/api/sessions", { basic, headers: { "user-agent": "a browser" } })).json;
  const created = await service.send("POST", "/api/api-keys", { basic, json: { name: "cron", scopes: [] } });
  const apiKey: string = created.json.key;
  for (const [name, secret] of Object.entries({
    apiKey: apiKey.slice(3, -6),
    token: token.split(".")[2],
    accessToken: session.access_token.split(".")[2],
    refreshToken: session.refresh_token.split(".")[1],
  })) {
    planted.set(name, secret as string);
  }

  const everywhere = async (): Promise<void> => {
    await send("POST", "/api/users", { json: register });
    await send("POST", "/api/users", { json: { ...register, [plant("member")]: plant("value") } });
    await send("POST", "/api/users", { json: { username: plant("bad:name"), password } });
    await send("POST", "/api/users", {
      body: `{"password":"${plant("unparsed")}"`,
      headers: { "content-type": "application/json" },
    });
    await send("POST", "/api/users", { body: plant("form"), headers: { "content-type": "text/plain" } });
    await send("GET", `/api/users/${plant("path")}`, { basic });
    await send("GET", `/${plant("nowhere")}?password=${plant("query")}`);
    await send("GET", `/problems/${plant("slug")}`);
    await send("GET", `/api/token?limit=${plant("parameter")}`, { basic });
    await send("GET", `/api/sessions?cursor=${plant("cursor")}`, { bearer: token });
    await send("GET", "/api/resource", { bearer: plant("bearer") });
    await send("GET", "/api/resource", { bearer: apiKey });
    await send("GET", "/api/resource", { basic: [apiKey, "unused"] });
    await send("GET", "/api/resource", { bearer: `${apiKey.slice(0, -1)}-` });
    await send("GET", "/api/api-keys", { basic });
    await send("PATCH", `/api/api-keys/${created.json.id}`, { basic, json: { name: "cron", key: apiKey } });
    await send("POST", "/api/api-keys/revocations", { json: { key: `${apiKey.slice(0, -1)}-` } });
    await send("GET", "/api/resource", { bearer: `${token.slice(0, -10)}${plant("forged").slice(-10)}` });
    await send("GET", "/api/resource", { basic: [plant("name"), plant("wrong")] });
    await send("GET", "/api/resource", { basic: [token, plant("unused")] });
    await send("GET", "/api/resource", { headers: { authorization: `Digest ${plant("scheme")}` } });
    await send("GET", "/api/resource", {
      basic,
      headers: {
        cookie: `session=${plant("cookie")}`,
        "x-api-key": plant("header"),
        referer: `http://x/?${plant("referer")}`,
        "x-forwarded-for": plant("forwarded"),
        "x-request-id": plant("request-id"),
        "accept-language": plant("language"),
      },
    });
    await send("PUT", "/api/users/me/password", {
      bearer: token,
      json: { current_password: plant("current"), new_password: plant("new") },
    });
    await send("POST", "/api/token", { json: { refresh_token: plant("refresh") } });
    await send("POST", "/api/token", { json: { refresh_token: `${session.id}.${"A".repeat(48)}` } });
  };
  await everywhere();
  await service.withBrokenTables(everywhere);
  await service.withoutDatabase(async () => {
    await send("GET", "/api/resource", { basic });
    await send("POST", "/api/users", { json: register });
  });
  answers.push(
    await sendRaw(service.url, `GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ${plant("raw")}\0\r\n\r\n`, "GET", "/livez"),
  );
  answers.push(await sendRaw(service.url, `${plant("garbage")}\r\n\r\n`));

  // Postgres reports the whole row of a violated constraint, with the hash.
  await service.sql("ALTER TABLE users ADD CONSTRAINT never CHECK (username <> 'violator')");
  const unforeseen = await send("POST", "/api/users", { json: { username: "violator", password } });
  expect(unforeseen).toMatchObject({ status: 500 });
  // Postgres quotes values that it cannot convert, and a function may report anything.
  for (const statement of ["PERFORM NEW.username::integer", "RAISE EXCEPTION 'not %', NEW.username"]) {
    await service.sql(`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
      AS $$ BEGIN ${statement}; RETURN NEW; END $$`);
    await service.sql("CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION refuse()");
    expect((await send("POST", "/api/users", { json: { username: plant("trigger"), password } })).status).toBe(500);
  }

  const log = service.log.join("");
  expect(log).toContain("invalid-credentials");
  expect(log).toContain("internal-error");
  expect(log).toContain("Postgres error 22P02");
  expect(log).toContain("Postgres error P0001");
  const { url } = JSON.parse(service.log.find((line) => line.includes('"metrics"')) ?? "{}");
  const metrics = await (await fetch(url)).text();
  planted.set("secretKey", secretKey);
  const secrets = [...planted.values()];
  expect(leaksIn(`${log}\n${metrics}`, [...secrets, "$argon2id$", "gardener", "violator"])).toEqual([]);
  expect(leaksIn(await dump(), secrets)).toEqual([]);
  planted.delete("member"); // which the response repeats
  for (const { text, headers } of answers) {
    expect(leaksIn(`${text} ${JSON.stringify(headers)}`, [...planted.values(), "$argon2id$"])).toEqual([]);
  }
});

test("a secret would be found in each of its forms", () => {
  const secret = "sécret/with+every=thing";
  for (const text of [
    secret.toUpperCase(),
    encodeURIComponent(secret),
    `Basic ${Buffer.from(`a:${secret}`).toString("base64")}`,
    `Basic ${Buffer.from(`ab:${secret}`).toString("base64url")}`,
    Buffer.from(`{"password":"${secret}"}`).toString("hex"),
    JSON.stringify(`${secret}`),
  ]) {
    expect(leaksIn(`some ${text} thing`, [secret]), text).toEqual([secret]);
  }
});

test("a crash leaks none of them", async () => {
  const password = plant("crash-password");
  const key = randomBytes(32).toString("base64");
  const program = runProgram([], { DATABASE_URL: await createDatabase(), SECRET_KEY: key, LOG_LEVEL: "trace" });
  const send = createClient(await program.url);
  await registerUser(send, { username: "gardener", password });
  const { token } = (await send("GET", "/api/token", { basic: ["gardener", password] })).json;
  // Lines are written within some milliseconds.
  await vi.waitUntil(() => program.stdout.some((line) => line.includes("password-accepted")), 15_000);
  // While passwords are hashed and responses are pending.
  const due = Array.from({ length: 10 }, () =>
    send("GET", "/api/token", { basic: ["gardener", password] }).catch(() => undefined),
  );
  program.process.kill("SIGABRT");
  await Promise.all(due);
  expect(await program.exit).toBe("SIGABRT");
  const written = [...program.stdout, ...program.stderr].join("\n");
  expect(written).toContain("password-accepted");
  expect(leaksIn(written, [password, key, token, basicAuthorization(["gardener", password]).slice(6)])).toEqual([]);
});

test("every log line of a request has the id that the client got", async () => {
  const answer = await service.send("GET", "/livez");
  const line = JSON.parse(service.log.at(-1) ?? "{}");
  expect(line.req.id).toBe(answer.header("x-request-id"));
  expect(line).toMatchObject({ operation: "getLiveness", res: { status: 200 } });
});
