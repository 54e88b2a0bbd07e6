/** Reads from the service's log what a restored database does not know. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { z } from "zod";
import { InputError } from "../errors.ts";

/** What happened to users, by their ids. */
export type History = {
  deleted: Set<string>;
  /** The number of the last change of the password that the log has: see `users.password_epoch`. */
  passwordEpochs: Map<string, number>;
  /** The highest of these numbers. */
  highestEpoch: number;
  /** How many lines the service could not write. */
  droppedLines: number;
};

/** What an earlier version did not number counts as later than any backup. */
const latest = 2_147_483_647;

const line = z.object({ event: z.string(), msg: z.literal("audit") });
const loss = z.object({ dropped: z.int().positive() });
const userEvent = z.object({ userId: z.uuid(), passwordEpoch: z.int().positive().max(latest).default(latest) });

/** @throws {InputError} where a file cannot be read, or has no audit event at all */
export async function readHistory(files: string[]): Promise<History> {
  const history: History = { deleted: new Set(), passwordEpochs: new Map(), highestEpoch: 0, droppedLines: 0 };
  for (const file of files) {
    if ((await readFile(file, history)) === 0)
      throw new InputError(`${file} has no audit event: it is not the log of the service, as JSON lines.`);
  }
  return history;
}

/** @returns how many audit events it has */
async function readFile(file: string, history: History): Promise<number> {
  const { deleted, passwordEpochs } = history;
  let events = 0;
  try {
    for await (const text of createInterface({ input: createReadStream(file) })) {
      const parsed = parseLine(text);
      history.droppedLines += loss.safeParse(parsed).data?.dropped ?? 0;
      const event = line.safeParse(parsed).data?.event;
      if (event === undefined) continue;
      events += 1;
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

/** @returns `undefined` for a line of something else. Compose and others write a name before each line. */
function parseLine(text: string): unknown {
  const [, json] = /^[^{"]*(\{.*\})\s*$/.exec(text) ?? [];
  if (json === undefined || !/"(?:event|dropped)"/.test(json)) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
