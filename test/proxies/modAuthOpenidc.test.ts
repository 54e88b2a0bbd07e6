/** Apache with mod_auth_openidc protects a page: a user signs in with Latchkey in Chromium, without scripts, and signs out again. */
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { startBrowser } from "../support/browser.ts";
import { registerClient, type TestClient } from "../support/oauthClients.ts";
import { freePorts } from "../support/ports.ts";
import { type Passed, startApplication } from "../support/protectedApi.ts";
import { password, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";
import { startProxyProgram } from "./program.ts";

const certificate = resolve("test/support/certificates/one.cert.pem");
const modules = ["mpm_event", "authn_core", "authz_core", "authz_user", "proxy", "proxy_http", "auth_openidc"];

/** Starts Apache in front of an application, and the service that it sends users to. */
async function startSite(algorithm: string) {
  const [latchkeyPort = 0, port = 0] = await freePorts(2);
  const issuer = `https://127.0.0.1:${latchkeyPort}`;
  const site = `http://127.0.0.1:${port}`;
  const service = await startTestService({
    PORT: String(latchkeyPort),
    PUBLIC_URL: issuer,
    TLS_CERT: certificate,
    TLS_KEY: resolve("test/support/certificates/one.key.pem"),
    SIGNING_ALG: algorithm,
  });
  const miguel = await service.register("miguel");
  const client = await registerClient(service, await service.administrator(), {
    name: "The intranet",
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: [`${site}/redirect`],
    post_logout_redirect_uris: [`${site}/bye`],
  });
  const application = await startApplication();
  await startApache({ port, issuer, site, client, applicationPort: application.port });
  return { service, site, issuer, miguel, client, application };
}

type Site = { port: number; issuer: string; site: string; client: TestClient; applicationPort: number };

async function startApache({ port, issuer, site, client, applicationPort }: Site): Promise<void> {
  const folder = await temporaryFolder(0o755);
  const config = `
    ${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join("\n")}
    User nobody
    Group nogroup
    DefaultRuntimeDir ${folder}
    ServerRoot ${folder}
    ServerName 127.0.0.1
    PidFile ${folder}/pid
    ErrorLog ${folder}/error.log
    Listen 127.0.0.1:${port}
    OIDCProviderMetadataURL ${issuer}/.well-known/openid-configuration
    OIDCCABundlePath ${certificate}
    OIDCClientID ${client.client_id}
    OIDCClientSecret ${client.client_secret}
    OIDCRedirectURI ${site}/redirect
    OIDCCryptoPassphrase "a passphrase of the test"
    OIDCScope "openid profile"
    OIDCPKCEMethod S256
    OIDCRemoteUserClaim preferred_username
    ProxyPass /redirect !
    ProxyPass / http://127.0.0.1:${applicationPort}/
    <Location />
      AuthType openid-connect
      Require valid-user
    </Location>
    <Location /bye>
      AuthType None
      Require all granted
    </Location>`;
  await writeFile(join(folder, "apache.conf"), config);
  await startProxyProgram("apache2", ["-d", folder, "-f", join(folder, "apache.conf"), "-DFOREGROUND"], port);
}
const browser = await startBrowser();

// mod_auth_openidc knows no EdDSA.
test.each(["RS256", "ES256"])(
  "%s: a user reaches the page by signing in, and not after signing out",
  async (algorithm) => {
    const { service, site, issuer, miguel, client, application } = await startSite(algorithm);
    const context = await browser.newContext({ javaScriptEnabled: false, ignoreHTTPSErrors: true });
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    const press = (name: string) => page.getByRole("button", { name, exact: true }).click();

    await page.goto(`${site}/reports?of=today`);
    expect(new URL(page.url()).origin).toBe(issuer);
    expect(application.requests).toEqual([]);
    await page.getByLabel("Username").fill("miguel");
    await page.getByLabel("Password").fill(password);
    await press("Sign in");
    await press("Allow");

    expect(page.url()).toBe(`${site}/reports?of=today`);
    const passed: Passed = JSON.parse(await page.locator("body").innerText());
    expect(passed).toMatchObject({
      url: "/reports?of=today",
      headers: { oidc_claim_sub: miguel.id, oidc_claim_iss: issuer, oidc_claim_preferred_username: "miguel" },
    });
    const sessions = await service.send("GET", "/api/sessions", { basic: ["miguel", password] });
    expect(sessions.json.sessions).toContainEqual(expect.objectContaining({ client_id: client.client_id }));

    await page.goto(`${site}/redirect?logout=${encodeURIComponent(`${site}/bye`)}`);
    await press("Sign out");
    expect(new URL(page.url()).pathname).toBe("/bye");
    await page.goto(`${site}/reports`);
    await expect(page.getByLabel("Password").count()).resolves.toBe(1);
    await context.close();
  },
);
