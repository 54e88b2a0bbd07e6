/** A registered API of a test service, a verifier for it, and users with its scopes. */
import type { VerifierOptions } from "../../packages/verify/src/index.ts";
import { createKey } from "./apiKeys.ts";
import { audience } from "./fakeLatchkey.ts";
import { password, type TestService, untilServed } from "./service.ts";
import { startVerifier, type TestVerifier } from "./verifiers.ts";

/** The issuer of a service without PUBLIC_URL. */
export const issuer = "http://127.0.0.1:8080";

export type ApiUser = { id: string; username: string; basic: [string, string] };

export type VerifiedApi = {
  admin: [string, string];
  /** The API key of the verifier. */
  credential: string;
  verifier: TestVerifier;
  /** Starts another verifier. */
  start(options?: Partial<VerifierOptions>): TestVerifier;
  /** Registers a user with the roles. By default `clerk`, which has both scopes of the API. */
  user(roles?: string[]): Promise<ApiUser>;
  /** Issues a token for the API, in a session of its own. */
  token(user: ApiUser): Promise<string>;
  /** Creates an API key with the scopes of the API. */
  key(user: ApiUser, scopes?: string[]): Promise<{ id: string; key: string }>;
  asAdmin(method: string, target: string, json?: unknown): ReturnType<TestService["send"]>;
};

export async function verifiedApi(service: TestService, options: Partial<VerifierOptions> = {}): Promise<VerifiedApi> {
  const admin = await service.administrator();
  const asAdmin: VerifiedApi["asAdmin"] = async (method, target, json) => {
    const answer = await service.send(method, target, { basic: admin, json });
    if (answer.status >= 300) throw new Error(`${method} ${target}: ${answer.status} ${answer.text}`);
    return answer;
  };
  const scopes = ["orders:read", "orders:write"];
  await asAdmin("POST", "/api/apis", {
    audience,
    name: "Orders",
    scopes: scopes.map((name) => ({ name, description: "" })),
  });
  await asAdmin("PUT", "/api/roles/clerk", { scopes });
  const needed = ["revocations:read", "tokens:introspect", "apis:read"];
  await asAdmin("PUT", "/api/roles/verifier", { scopes: needed });

  const user: VerifiedApi["user"] = async (roles = ["clerk"]) => {
    const { id, username } = await service.register();
    await asAdmin("PATCH", `/api/users/${id}`, { roles });
    return { id, username, basic: [username, password] };
  };
  const { key: credential } = await createKey(service, { basic: (await user(["verifier"])).basic }, { scopes: needed });
  const start = (more: Partial<VerifierOptions> = {}) =>
    startVerifier({ issuer, url: service.url, credential, ...options, ...more });
  const verifier = start();
  await verifier.ready();
  return {
    admin,
    credential,
    verifier,
    start,
    user,
    asAdmin,
    async token({ basic }) {
      const answer = await untilServed(() => service.send("POST", "/api/sessions", { basic, json: { audience } }));
      if (answer.status !== 201) throw new Error(`no session: ${answer.status} ${answer.text}`);
      return answer.json.access_token;
    },
    key: ({ basic }, scopes = ["orders:read", "orders:write"]) => createKey(service, { basic }, { scopes }),
  };
}
