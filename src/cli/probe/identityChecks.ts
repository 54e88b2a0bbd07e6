/** Headers that name another user, sent with a valid token: the user and the scopes remain those of the token. */
import { randomUUID } from "node:crypto";
import { identityHeaders } from "./headers.ts";
import { isAccepted, isRefused, type Judge } from "./judge.ts";
import { bearer } from "./requestChecks.ts";
import type { Send } from "./send.ts";
import type { Target } from "./targets.ts";

const check = "identity-header";

/**
 * Checks whether the service takes the user from a header. If so, it shows the name, or lets a proxy show it. Needs a valid
 * token.
 */
export async function checkForgedUser(
  target: Target,
  token: string,
  { judge, send }: { judge: Judge; send: Send },
): Promise<void> {
  const name = randomUUID();
  const outgoing = { method: target.method, target: target.path + target.query };
  const isShown = async (headers: Record<string, string>) => {
    const answer = await send({ ...outgoing, headers: { ...headers, ...bearer(token) } });
    return isAccepted(answer) && answer.body.includes(name) ? answer : undefined;
  };
  for (const headers of identityHeaders({ id: name, name, scopes: "" })) {
    const answer = await isShown(headers);
    if (!answer) continue;
    const names: string[] = [];
    for (const [header, value] of Object.entries(headers)) if (await isShown({ [header]: value })) names.push(header);
    const note = `a valid token and ${(names.length > 0 ? names : Object.keys(headers)).join(", ")}`;
    judge.add(target, check, { outgoing, answer, note });
  }
}

/** Whether the service takes the scopes from a header. @param token lacks the scopes of the operation */
export async function checkForgedScopes(target: Target, token: string, { judge }: { judge: Judge }): Promise<void> {
  const scopes = [...new Set(target.operation.alternatives.flat())].join(" ");
  for (const headers of identityHeaders({ id: randomUUID(), name: "admin", scopes })) {
    const answer = await judge.mustRefuse(target, check, { ...headers, ...bearer(token) });
    if (!isRefused(answer)) return;
  }
}
