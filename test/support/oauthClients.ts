/** Clients of OAuth. */
import type { TestService } from "./service.ts";

export type TestClient = { client_id: string; client_secret: string };

/** Registers a client, with `client_credentials` unless its members say otherwise. */
export async function registerClient(
  service: TestService,
  basic: [string, string],
  members: Record<string, unknown> = {},
): Promise<TestClient> {
  const json = { name: "A client", grant_types: ["client_credentials"], ...members };
  const answer = await service.send("POST", "/api/clients", { basic, json });
  if (answer.status !== 201) throw new Error(`the client was not registered: ${answer.status} ${answer.text}`);
  return answer.json;
}
