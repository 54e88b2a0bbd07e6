/** Reads changes since a backup from the log of the service. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { z } from "zod";
import { InputError } from "../errors.ts";

/** The changes to users, by user id, and to clients. */
export type AuditHistory = {
  deleted: Set<string>;
  /** The epoch of the last password change in the log: see `users.password_epoch`. */
  passwordEpochs: Map<string, number>;
  /** The ids of clients. */
  deletedClients: Set<string>;
  /** Whether the user was blocked or unblocked last. */
  blocked: Map<string, boolean>;
  /** The roles after the last change, without those that were deleted since. */
  roles: Map<string, string[]>;
  /** The highest epoch in the log. */
  highestEpoch: number;
  /** Number of lines that the service could not write. */
  droppedLines: number;
};

/** The epoch of events of earlier versions, which did not log it: later than any backup. */
const latest = 2_147_483_647;

const auditLine = z.object({ event: z.string(), msg: z.literal("audit") });
const clientEvent = z.object({ clientId: z.string() });
const droppedLines = z.object({ dropped: z.int().positive() });
const userEvent = z.object({ userId: z.uuid(), passwordEpoch: z.int().positive().max(latest).default(latest) });
/** The last of these events counts. `time` orders the events of several instances and files. */
const accessEvent = z.discriminatedUnion("event", [
  z.object({ event: z.enum(["user-blocked", "user-unblocked"]), userId: z.uuid(), time: z.number() }),
  z.object({ event: z.literal("roles-changed"), userId: z.uuid(), roles: z.string(), time: z.number() }),
  z.object({ event: z.literal("role-deleted"), role: z.string(), time: z.number() }),
]);
type AccessEvent = z.infer<typeof accessEvent>;
const accessEvents: readonly string[] = ["user-blocked", "user-unblocked", "roles-changed", "role-deleted"];

/** @throws {InputError} if a file cannot be read, or contains no audit event */
export async function readAuditLog(files: string[]): Promise<AuditHistory> {
  const history: AuditHistory = {
    deleted: new Set(),
    passwordEpochs: new Map(),
    deletedClients: new Set(),
    blocked: new Map(),
    roles: new Map(),
    highestEpoch: 0,
    droppedLines: 0,
  };
  const changes: AccessEvent[] = [];
  for (const file of files) {
    if ((await readFile(file, history, changes)) === 0)
      throw new InputError(`${file} has no audit event: it is not a log of the service in JSON lines.`);
  }
  for (const change of changes.toSorted((a, b) => a.time - b.time)) apply(change, history);
  return history;
}

function apply(change: AccessEvent, { blocked, roles }: AuditHistory): void {
  if (change.event === "role-deleted") {
    for (const [userId, names] of roles) {
      roles.set(
        userId,
        names.filter((name) => name !== change.role),
      );
    }
  } else if (change.event === "roles-changed") {
    roles.set(change.userId, change.roles === "" ? [] : change.roles.split(" "));
  } else blocked.set(change.userId, change.event === "user-blocked");
}

/** @returns the number of audit events in the file */
async function readFile(file: string, history: AuditHistory, changes: AccessEvent[]): Promise<number> {
  const { deleted, passwordEpochs } = history;
  let events = 0;
  try {
    for await (const text of createInterface({ input: createReadStream(file) })) {
      const parsed = parseLine(text);
      history.droppedLines += droppedLines.safeParse(parsed).data?.dropped ?? 0;
      const event = auditLine.safeParse(parsed).data?.event;
      if (event === undefined) continue;
      events += 1;
      if (accessEvents.includes(event)) changes.push(accessEvent.parse(parsed));
      if (event === "client-deleted") history.deletedClients.add(clientEvent.parse(parsed).clientId);
      if (event !== "user-deleted" && event !== "password-changed") continue;
      const { userId, passwordEpoch } = userEvent.parse(parsed);
      if (event === "user-deleted") deleted.add(userId);
      else passwordEpochs.set(userId, Math.max(passwordEpoch, passwordEpochs.get(userId) ?? 0));
      if (passwordEpoch < latest) history.highestEpoch = Math.max(passwordEpoch, history.highestEpoch);
    }
  } catch (cause) {
    throw new InputError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
  return events;
}

/** @returns `undefined` unless the line is an event. Compose and others write a name before each line. */
function parseLine(text: string): unknown {
  const [, json] = /^[^{"]*(\{.*\})\s*$/.exec(text) ?? [];
  if (json === undefined || !/"(?:event|dropped)"/.test(json)) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
