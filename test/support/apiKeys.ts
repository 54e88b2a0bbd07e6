/** Creates API keys for tests. */
import type { Received } from "./client.ts";
import { password, type TestService } from "./service.ts";

export type CreatedKey = { id: string; key: string; secrets: { last_four: string; expires_at: string | null }[] };

/** Creates an API key for a user with the password `password`, or with other credentials. */
export async function createKey(
  service: Pick<TestService, "send">,
  owner: string | { basic: [string, string] } | { bearer: string },
  { name = "cron", scopes = [] as string[], ...rest }: { name?: string; scopes?: string[]; expires_at?: string } = {},
): Promise<CreatedKey> {
  const credentials = typeof owner === "string" ? { basic: [owner, password] as [string, string] } : owner;
  return created(await service.send("POST", "/api/api-keys", { ...credentials, json: { name, scopes, ...rest } }));
}

function created(answer: Received): CreatedKey {
  if (answer.status !== 201) throw new Error(`no key was created: ${answer.status} ${answer.text}`);
  return answer.json;
}

/** Gets the protected resource with a key. Returns the status, or the slug of the problem. */
export async function use(service: Pick<TestService, "send">, key: string): Promise<string | number> {
  const { problem, status } = await service.send("GET", "/api/resource", { bearer: key });
  return problem ?? status;
}
