import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ConfigError, describeSettings, readConfig } from "../src/config.ts";

const secret = "an honest secret key of forty characters";

describe("settings", () => {
  test("have their defaults", () => {
    expect(readConfig({})).toMatchObject({
      host: "127.0.0.1",
      port: 8080,
      databasePoolMax: 10,
      tokenTtlSeconds: 600,
      passwordMinLength: 15,
      passwordBlocklist: true,
      argon2MemoryKib: 19_456,
      argon2Passes: 2,
      logLevel: "info",
    });
  });

  test.each([
    ["HOST", "0.0.0.0", "host", "0.0.0.0"],
    ["HOST", "::1", "host", "::1"],
    ["PORT", "0", "port", 0],
    ["PUBLIC_URL", "https://auth.example.com/v1", "publicUrl", "https://auth.example.com/v1"],
    [
      "DATABASE_URL",
      "postgres://u:p@db:5432/x?sslmode=require",
      "databaseUrl",
      "postgres://u:p@db:5432/x?sslmode=require",
    ],
    ["DATABASE_URL", "postgresql:///x?host=/run/postgresql", "databaseUrl", "postgresql:///x?host=/run/postgresql"],
    ["PASSWORD_BLOCKLIST", "off", "passwordBlocklist", false],
    [
      "OTEL_EXPORTER_OTLP_ENDPOINT",
      "https://collector:4318/otlp",
      "otelExporterOtlpEndpoint",
      "https://collector:4318/otlp",
    ],
    ["TRUST_PROXY", "1", "trustProxy", 1],
    ["TRUST_PROXY", "loopback, 10.0.0.0/8", "trustProxy", ["loopback", "10.0.0.0/8"]],
    [
      "CORS_ORIGINS",
      "https://a.example, http://localhost:3000",
      "corsOrigins",
      ["https://a.example", "http://localhost:3000"],
    ],
  ])("%s=%s is read", (name, given, key, value) => {
    expect(readConfig({ SECRET_KEY: secret, [name]: given })).toMatchObject({ [key]: value });
  });

  test.each([
    ["HOST", "not a host"],
    ["PORT", "65536"],
    ["PORT", "-1"],
    ["PORT", "80.5"],
    ["PORT", "0x50"],
    ["PORT", " 80"],
    ["PORT", ""],
    ["PUBLIC_URL", "auth.example.com"],
    ["PUBLIC_URL", "https://auth.example.com/"],
    ["PUBLIC_URL", "https://auth.example.com?x=1"],
    ["PUBLIC_URL", "javascript:alert(1)"],
    ["PUBLIC_URL", "https://例え.jp"],
    ["PUBLIC_URL", " https://a.example"],
    ["PUBLIC_URL", 'https://a.example/"b'],
    ["DATABASE_POOL_MAX", "0"],
    ["TOKEN_TTL_SECONDS", "0"],
    ["TOKEN_TTL_SECONDS", "86401"],
    ["PASSWORD_MIN_LENGTH", "7"],
    ["PASSWORD_BLOCKLIST", "yes"],
    ["PASSWORD_CONTEXT_WORDS", "acme,ab"],
    ["ARGON2_MEMORY_KIB", "1024"],
    ["ARGON2_PASSES", "0"],
    ["LOG_LEVEL", "loud"],
    ["TRUST_PROXY", "everyone"],
    ["TRUST_PROXY", "true"],
    ["CORS_ORIGINS", "app.example.com"],
    ["CORS_ORIGINS", "https://app.example.com/path"],
    ["DATABASE_URL", ""],
    ["DATA_DIR", ""],
  ])("%s=%j is refused, with what is allowed", (name, given) => {
    expect(() => readConfig({ SECRET_KEY: secret, [name]: given })).toThrow(ConfigError);
    expect(() => readConfig({ SECRET_KEY: secret, [name]: given })).toThrow(
      `${name}: ${JSON.stringify(given)} is not allowed. Allowed: `,
    );
  });

  test.each([
    ["SECRET_KEY", "short"],
    ["SECRET_KEY", "a".repeat(64)],
    ["SECRET_KEY", "changeme".repeat(8)],
    ["DATABASE_URL", "mysql://root:hunter2@db/x"],
    ["DATABASE_URL", "hunter2"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "hunter2"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://collector:4317"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "https://u:hunter2@collector"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector?key=hunter2"],
  ])("%s: a wrong one (%s) is refused and not repeated", (name, given) => {
    const read = () => readConfig({ SECRET_KEY: secret, [name]: given });
    expect(read).toThrow(`${name}: what is given (not shown) is not allowed.`);
    expect(read).not.toThrow(given);
  });

  test("hashes cheaper than OWASP's least are refused, however they are made up", () => {
    expect(() => readConfig({ ARGON2_MEMORY_KIB: "7168", ARGON2_PASSES: "4" })).toThrow("7168 times 4 is not allowed");
    expect(readConfig({ ARGON2_MEMORY_KIB: "7168", ARGON2_PASSES: "5" })).toMatchObject({ argon2Passes: 5 });
  });

  test("a database of one's own asks for a SECRET_KEY", () => {
    expect(() => readConfig({ DATABASE_URL: "postgres://db/x" })).toThrow("SECRET_KEY is missing");
  });

  test("all of them are in the README's table, with their defaults", () => {
    const readme = readFileSync("README.md", "utf8");
    const rows = [...readme.matchAll(/^\| `([A-Z0-9_]+)` \| (?:`(.*?)`)? *\|/gm)].map(([, name, fallback]) => [
      name,
      fallback ?? "",
    ]);
    expect(rows).toEqual(describeSettings().map(({ name, fallback }) => [name, fallback]));
  });
});
