/** Judges responses: what must be refused, and was not. */
import type { Answer, Outgoing, Send } from "./send.ts";
import type { Target } from "./targets.ts";

export type Finding = {
  operation: string;
  check: string;
  /** `accepted`: a 2xx. `unclear`: neither 401 nor 403, and the same status as with a valid credential, if that is known. */
  outcome: "accepted" | "unclear";
  /** 0 if there was no response. */
  status: number;
  /** What was sent, without credentials. */
  request: string;
};

export type Judge = ReturnType<typeof createJudge>;

export const isAccepted = ({ status }: Answer): boolean => status >= 200 && status < 300;
export const isRefused = ({ status }: Answer): boolean => status === 401 || status === 403;

type Parts = {
  send: Send;
  /** The responses to a valid credential, as far as they are known. */
  controls: ReadonlyMap<Target, Answer>;
  /** The digests of bodies that reveal nothing. */
  harmless: ReadonlySet<string>;
};

export function createJudge({ send, controls, harmless }: Parts) {
  const findings: Finding[] = [];

  /** @param note what the request had, such as the name of a header */
  function add(target: Target, check: string, { outgoing, answer, note }: Accepted): void {
    const request = `${outgoing.method} ${outgoing.target}${note === undefined ? "" : ` with ${note}`}`;
    const outcome = isAccepted(answer) ? "accepted" : "unclear";
    findings.push({ operation: target.name, check, outcome, status: answer.status, request });
  }

  return {
    findings,
    add,

    /**
     * Sends the request of an operation, which must be refused with a 401 or a 403. Another error counts as a refusal only if a valid
     * credential gets a different response: a 404 may come from the handler.
     */
    async mustRefuse(target: Target, check: string, headers: Record<string, string> = {}): Promise<Answer> {
      const outgoing = { method: target.method, target: target.path + target.query, headers };
      const answer = await send(outgoing);
      const control = controls.get(target);
      const differs = control !== undefined && !isRefused(control) && control.status !== answer.status;
      if (isAccepted(answer) || (!isRefused(answer) && !differs)) add(target, check, { outgoing, answer });
      return answer;
    },

    /**
     * Sends a request that is not an operation's. Any response is allowed, except a 2xx that may reveal something.
     * @returns the response if it is not allowed
     */
    async accepted(outgoing: Outgoing): Promise<Answer | undefined> {
      const answer = await send(outgoing);
      return isAccepted(answer) && !harmless.has(answer.digest) ? answer : undefined;
    },
  };
}

type Accepted = { outgoing: Outgoing; answer: Answer; note?: string };
