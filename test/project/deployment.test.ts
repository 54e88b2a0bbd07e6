/** The files of a deployment: pinned images, a database role without superuser rights, and no secrets. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, inject, test } from "vitest";
import { parse } from "yaml";
import { serveOn } from "../support/process.ts";
import { query, urlOf } from "../support/service.ts";

const dockerfile = readFileSync("Dockerfile", "utf8");
const compose = parse(readFileSync("docker-compose.yml", "utf8"));

test("every image is pinned by its digest", () => {
  const argument = /^ARG NODE_IMAGE=(.*)$/m.exec(dockerfile)?.[1];
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) =>
    image?.startsWith("$") ? argument : image,
  );
  const images = [...bases, compose.services.postgres.image];
  expect(images).toHaveLength(3);
  for (const image of images) expect(image).toMatch(/:[\d.]+\S*@sha256:[0-9a-f]{64}$/);
});

test("secrets are excluded from commits and images", () => {
  const secrets = [".env", ".env.production", "deploy/.env", "tls.pem", "deploy/key.pem", "server.key"];
  const ignored = execFileSync("git", ["check-ignore", "--no-index", ...secrets], { encoding: "utf8" });
  expect(ignored.trim().split("\n")).toEqual(secrets);
  expect(readFileSync(".dockerignore", "utf8").split("\n")).toEqual(
    expect.arrayContaining(["**/.env*", "**/*.pem", "**/*.key"]),
  );
});

test("the database script of docker-compose.yml gives the service an ordinary role", async () => {
  const script = readFileSync("deploy/postgres-init.sql", "utf8");
  expect(compose.services.postgres.volumes).toContainEqual(expect.stringContaining("./deploy/postgres-init.sql:"));
  expect(compose.services.postgres.environment).not.toHaveProperty("POSTGRES_USER");
  // Its statements, as psql would send them, with names that only this test uses.
  const name = `composed_${process.pid}`;
  const statements = script
    .replace(/^\\getenv .*$/m, "")
    .replaceAll(":'password'", "'secret'")
    .replaceAll("latchkey", name)
    .replace("CURRENT_USER", `${name}_superuser`)
    .split(";");
  const administrator = inject("postgres");
  await query(administrator, `CREATE ROLE ${name}_superuser SUPERUSER LOGIN`);
  for (const statement of statements) await query({ ...administrator, user: `${name}_superuser` }, statement);
  const [role] = await query(administrator, "SELECT rolsuper, rolcanlogin FROM pg_roles WHERE rolname = $1", [name]);
  expect(role).toEqual({ rolsuper: false, rolcanlogin: true });
  const program = serveOn(urlOf({ ...administrator, user: name, database: name }));
  await program.url;
  program.process.kill("SIGTERM");
  expect(await program.exit).toBe(0);
  await query(administrator, `DROP DATABASE ${name}`);
});
