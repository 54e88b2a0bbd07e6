import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { describeSettings, misspelledSettings, readConfig } from "../../src/config/config.ts";
import { ConfigError } from "../../src/errors.ts";
import { toSecretKeys } from "../../src/tokens/secretKey.ts";

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
    ["postgres://u:hunter2@a:5432,b:5432/x", "several hosts"],
    ["postgres://u:hunter2@a,b/x", "several hosts"],
    ["postgres:///x?host=a,b", "several hosts"],
    ["postgres://u:hunter2@a/x?target_session_attrs=prefer-standby", "target_session_attrs"],
    ["postgres://u:hunter2@a/x?statement_timeout=1", "statement_timeout"],
    ["postgres://u:hunter2@a/x?sslmode=allow", "sslmode"],
    ["postgres://u:hunter2@a/x?client_encoding=latin1", "client_encoding"],
    ["postgres://u:hunter2@a/x?connect_timeout=5", "connect_timeout"],
    ["postgres://u:hunter2@a/x#y", "%23"],
    ["postgres://u%:hunter2@a/x", "%25"],
  ])("DATABASE_URL %s is refused in one sentence that names the reason, and not the password", (url, reason) => {
    let message = "";
    try {
      readConfig({ SECRET_KEY: secret, DATABASE_URL: url });
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(/^DATABASE_URL: [^\n]*\.$/);
    expect(message).toContain(reason);
    expect(message).not.toContain("hunter2");
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
    ["PUBLIC_URL", "https://auth.example.com//auth"],
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
    expect(read).toThrow(`${name}: the value (not shown) is not allowed.`);
    expect(read).not.toThrow(given);
  });

  test("hashes below OWASP's minimum are rejected, in any combination", () => {
    expect(() => readConfig({ ARGON2_MEMORY_KIB: "7168", ARGON2_PASSES: "4" })).toThrow("7168 times 4 is not allowed");
    expect(readConfig({ ARGON2_MEMORY_KIB: "7168", ARGON2_PASSES: "5" })).toMatchObject({ argon2Passes: 5 });
  });

  test("DATABASE_URL requires a SECRET_KEY", () => {
    expect(() => readConfig({ DATABASE_URL: "postgres://db/x" })).toThrow("SECRET_KEY is missing");
  });

  test("TLS requested by PGSSLMODE must be in DATABASE_URL", () => {
    const settings = { DATABASE_URL: "postgres://db/x", SECRET_KEY: secret, PGSSLMODE: "verify-full" };
    expect(() => readConfig(settings)).toThrow("append ?sslmode=verify-full to DATABASE_URL");
    const inUrl = { ...settings, DATABASE_URL: "postgres://db/x?sslmode=verify-full" };
    expect(readConfig(inUrl).databaseUrl).toBe(inUrl.DATABASE_URL);
    expect(readConfig({ PGSSLMODE: "verify-full" }).databaseUrl).toBeUndefined(); // the embedded Postgres has a socket
  });

  test.each([
    ["PORT", "8080\r\n", "port", 8080],
    ["PUBLIC_URL", "https://a.example\n", "publicUrl", "https://a.example"],
    ["SECRET_KEY", `${secret}\n`, "secretKey", `${secret}\n`],
  ])("%s=%j: a line break at its end makes no difference", (name, given, key, value) => {
    expect(readConfig({ [name]: given })).toMatchObject({ [key]: value });
  });

  test.each([
    ["CORS_ORIGINS", "https://a.example, https://b.example/", "Remove the slash at the end."],
    ["PUBLIC_URL", "https://a.example/", "Remove the slash at the end."],
    ["TOKEN_TTL_SECONDS", "10m", "Write the number alone, without a unit."],
    ["THROTTLE", "ON", "Write it in lower case."],
    ["THROTTLE", "TRUE", "Write on."],
    ["LOG_LEVEL", "Info", "Write it in lower case."],
    ["DATA_DIR", '"/data"', "Remove the quotation marks"],
    ["DATABASE_URL", "postgres://db/x ", "Remove the white space around it."],
    ["TLS_CERT", "\n", "is not allowed"],
    ["METRICS_PORT", "tcp://10.0.0.1:9090", "enableServiceLinks"],
  ])("%s=%j is refused with a hint", (name, given, hint) => {
    expect(() => readConfig({ SECRET_KEY: secret, [name]: given })).toThrow(hint);
  });

  test("a secret key is the same with or without a trailing line break", () => {
    for (const given of [secret, `${secret}\n`, `${secret}\r\n`])
      expect(toSecretKeys([given]).counting[0]).toBe(secret);
  });

  test("a trailing line break does not count towards a secret key's length", () => {
    expect(() => readConfig({ SECRET_KEY: `${secret.slice(0, 31)}\n` })).toThrow("SECRET_KEY");
  });

  test.each([
    ["DATABASE_URI", "DATABASE_URL"],
    ["PUBLICURL", "PUBLIC_URL"],
    ["TRUST_PROXIES", "TRUST_PROXY"],
    ["CORS_ORIGIN", "CORS_ORIGINS"],
    ["SECRET_KEY_FILE", "SECRET_KEY"],
    ["LATCHKEY_DATABASE_URL", "DATABASE_URL"],
    ["tls_cert", "TLS_CERT"],
    ["TSL_KEY", "TLS_KEY"],
  ])("%s stops the start: it is meant for %s, and not repeated", (given, meant) => {
    const read = () => readConfig({ [given]: "hunter2" });
    expect(read).toThrow(`${given} is not a setting. Set ${meant} if`);
    expect(read).not.toThrow("hunter2");
  });

  test.each([
    ["TOKEN_TTL", "TOKEN_TTL_SECONDS"],
    ["TOKEN_TTL_MINUTES", "TOKEN_TTL_SECONDS"],
    ["LOGLEVEL", "LOG_LEVEL"],
    ["WORKER", "WORKERS"],
    ["PASSWORD_MINIMUM_LENGTH", "PASSWORD_MIN_LENGTH"],
    ["LATCHKEY_PORT", "PORT"],
  ])("%s is warned of: %s is meant", (given, meant) => {
    expect(misspelledSettings({ [given]: "1" })).toEqual([expect.stringContaining(`Set ${meant} if`)]);
    expect(misspelledSettings({ [given]: "1", [meant]: "1" })).toEqual([]);
    readConfig({ [given]: "1" });
  });

  test("unrelated environment variables are not taken for settings", () => {
    const foreign = {
      ...{ HOSTNAME: "x", HOME: "/", PATH: "/bin", TZ: "UTC", LANG: "C", TERM: "x", USER: "x", SHELL: "sh", PWD: "/" },
      ...{
        npm_config_loglevel: "x",
        POSTGRES_PASSWORD: "x",
        PGHOST: "x",
        NODE_ENV: "x",
        OTEL_EXPORTER_OTLP_HEADERS: "x",
      },
      ...{ LATCHKEY_PORT: "tcp://10.0.0.1:80", LATCHKEY_SERVICE_HOST: "10.0.0.1", LATCHKEY_SERVICE_PORT: "80" },
      ...{
        LATCHKEY_PORT_8080_TCP_ADDR: "10.0.0.1",
        KUBERNETES_SERVICE_HOST: "x",
        DATABASE_PASSWORD: "x",
        SUDO_USER: "x",
      },
      ...{ XDG_DATA_DIRS: "x", DB_HOST: "x", REDIS_URL: "x", HTTP_PROXY: "x", NO_PROXY: "x", CI: "1", DEBUG: "x" },
    };
    expect(misspelledSettings(foreign)).toEqual([]);
  });

  test("docs/settings.md lists all of them, with their defaults and the texts of --help", () => {
    const guide = readFileSync("docs/settings.md", "utf8");
    const rows = [...guide.matchAll(/^\| `([A-Z0-9_]+)` \| (?:`(.*?)`)? *\| (.+) \|$/gm)].map(
      ([, name, fallback = "", meaning = ""]) => {
        const help = meaning.replace(/\[([^\]]+)\]\([^)]+\)/g, "$1").replaceAll("`", "");
        return { name, fallback, help };
      },
    );
    expect(rows).toEqual(describeSettings().map(({ name, fallback, help }) => ({ name, fallback, help })));
  });
});
