/** OAuth libraries of Debian, for Python and Go, sign users in with a real service, over HTTPS. */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { openBrowser, urlOf } from "../support/cookieBrowser.ts";
import { registerClient } from "../support/oauthClients.ts";
import { freePort } from "../support/ports.ts";
import { startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const certificate = resolve("test/support/certificates/one.cert.pem");

async function startService(algorithm: string) {
  const port = await freePort();
  const issuer = `https://127.0.0.1:${port}`;
  const service = await startTestService({
    PORT: String(port),
    PUBLIC_URL: issuer,
    SIGNING_ALG: algorithm,
    TLS_CERT: certificate,
    TLS_KEY: resolve("test/support/certificates/one.key.pem"),
  });
  const client = await registerClient(service, await service.administrator(), {
    grant_types: ["authorization_code", "refresh_token", "client_credentials"],
    redirect_uris: ["https://app.example/callback"],
    scopes: ["users:read", "tokens:introspect"],
  });
  return { issuer, service, client, user: await service.register("miguel") };
}

/** Not with EdDSA: this Authlib can verify the signature, but no `at_hash`. */
const authlib = ["/usr/bin/python3", "withAuthlib.py"] as const;
const requestsOauthlib = ["/usr/bin/python3", "withRequestsOauthlib.py"] as const;
const goOidc = ["/usr/bin/go", "run", "withGoOidc.go"] as const;

test.each([
  ["ES256", "Authlib", authlib],
  ["RS256", "Authlib", authlib],
  ["EdDSA", "requests-oauthlib", requestsOauthlib],
  ["ES256", "x/oauth2 and go-oidc", goOidc],
  ["RS256", "x/oauth2 and go-oidc", goOidc],
])("%s: %s", async (algorithm, _name, [command, ...args]) => {
  const { issuer, service, client, user } = await startService(algorithm);
  const folder = await temporaryFolder();
  const program = spawn(command, args, {
    cwd: "test/fixtures/oauthClients",
    timeout: 120_000,
    env: {
      // Debian's programs and libraries, whatever else is on the path.
      PATH: "/usr/bin:/bin",
      HOME: "/nonexistent",
      PYTHONDONTWRITEBYTECODE: "1",
      GO111MODULE: "off",
      GOPATH: "/usr/share/gocode",
      GOFLAGS: "-buildvcs=false",
      GOTELEMETRY: "off",
      GOCACHE: folder,
      GOTMPDIR: folder,
      REQUESTS_CA_BUNDLE: certificate,
      SSL_CERT_FILE: certificate,
      ISSUER: issuer,
      CLIENT_ID: client.client_id,
      CLIENT_SECRET: client.client_secret,
      SIGNING_ALG: algorithm,
    },
  });
  const errors = text(program.stderr);
  const lines = createInterface(program.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const line = await lines.next();
    if (line.done) throw new Error(await errors);
    return line.value;
  };
  const browser = openBrowser(service, issuer);
  const signedIn = await browser.signIn(await browser.go("GET", await next()), "miguel");
  program.stdin.end(`${urlOf(await browser.allow(signedIn))}\n`);
  expect(JSON.parse(await next())).toEqual({
    sub: user.id,
    userinfo: { sub: user.id, preferred_username: "miguel" },
    rotated: true,
    active: [true, 200, false],
    machine: ["users:read", 200],
  });
});
