/** Follows the revocation list, as a verifier in another service does. */
import type { Client, Received, Sent } from "./client.ts";

export type Follower = {
  /** The highest epoch of each subject that it has seen. */
  minimumEpochs: Map<string, number>;
  /** Where the next request continues; `undefined` before the first one, and after a cursor has expired. */
  cursor: string | undefined;
  /** How often it had to start again. */
  restarts: number;
  /** Sends one request, to any instance. */
  poll(send: Client, wait?: number): Promise<Received>;
  /** Repeats requests until there are no more entries. */
  catchUp(send: Client): Promise<void>;
};

/** The target of a request. */
export const revocationsAfter = (cursor: string | undefined, wait = 0): string =>
  `/api/revocations?wait=${wait}${cursor === undefined ? "" : `&after=${cursor}`}`;

export function createFollower(credentials: Sent): Follower {
  const follower: Follower = {
    minimumEpochs: new Map(),
    cursor: undefined,
    restarts: 0,
    async poll(send, wait) {
      const answer = await send("GET", revocationsAfter(follower.cursor, wait), credentials);
      if (answer.status === 200) {
        for (const { subject, minimum_epoch } of answer.json.entries) {
          const known = follower.minimumEpochs.get(subject) ?? 0;
          follower.minimumEpochs.set(subject, Math.max(known, minimum_epoch));
        }
        follower.cursor = answer.json.next;
      } else if (answer.status === 410) {
        follower.cursor = undefined;
        follower.restarts += 1;
      }
      return answer;
    },
    async catchUp(send) {
      for (;;) {
        const answer = await follower.poll(send);
        if (answer.status !== 200) throw new Error(`the feed failed: ${answer.status} ${answer.text}`);
        if (!answer.json.has_more) return;
      }
    },
  };
  return follower;
}
