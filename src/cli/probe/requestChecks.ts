/** Requests without a valid credential: forged tokens and headers, other spellings of the path, other methods. */
import type { Contract } from "../../../packages/verify/src/contract/contract.ts";
import type { Forged } from "./forgedTokens.ts";
import { headerChecks, overrides } from "./headers.ts";
import { isAccepted, type Judge } from "./judge.ts";
import type { Answer, Send } from "./send.ts";
import type { Target } from "./targets.ts";
import { pathVariants } from "./variants.ts";

type Parts = {
  judge: Judge;
  send: Send;
  contract: Contract;
  forged: readonly Forged[];
  /** The responses to a valid credential, as far as they are known. */
  controls: ReadonlyMap<Target, Answer>;
  /** The path of an operation that serves everyone. */
  openPath: string;
  allowsUnsafeMethods: boolean;
};

/** For an operation that refuses requests without a credential. */
export function createRequestChecks(parts: Parts) {
  const { judge, send, contract, forged, controls, openPath, allowsUnsafeMethods } = parts;
  const unsafeMethods = allowsUnsafeMethods ? ["POST", "PUT", "PATCH", "DELETE"] : [];

  return {
    async tokens(target: Target): Promise<void> {
      for (const { check, token } of forged) await judge.mustRefuse(target, check, bearer(token));
    },

    async headers(target: Target): Promise<void> {
      const outgoing = { method: target.method, target: target.path + target.query };
      // A server may reject headers with all scopes of a large contract for their length.
      const scopes = [...new Set(target.operation.alternatives.flat())];
      for (const { check, headers } of headerChecks(scopes, openPath)) {
        const answer = await judge.accepted({ ...outgoing, headers });
        if (!answer) continue;
        // Which of them it was.
        const names: string[] = [];
        for (const [name, value] of Object.entries(headers))
          if (await judge.accepted({ ...outgoing, headers: { [name]: value } })) names.push(name);
        const note = (names.length > 0 ? names : Object.keys(headers)).join(", ");
        judge.add(target, check, { outgoing, answer, note });
      }
    },

    async paths(target: Target): Promise<void> {
      const { method, path, query } = target;
      for (const variant of pathVariants(path, openPath)) {
        const outgoing = { method, target: variant + query };
        if (contract.match(method, outgoing.target)?.allowsAnonymous) continue;
        const answer = await judge.accepted(outgoing);
        if (answer) judge.add(target, "path-variant", { outgoing, answer });
      }
    },

    /** The methods of a path that the contract does not declare. */
    async methods(target: Target): Promise<void> {
      const path = target.path + target.query;
      const declared = contract.operations
        .filter((one) => one.path === target.operation.path)
        .map(({ method }) => method);
      const isUndeclared = (method: string) => !declared.includes(method);
      for (const method of ["HEAD", "TRACE", "PROPFIND", ...unsafeMethods].filter(isUndeclared)) {
        const outgoing = { method, target: path };
        const answer = await send(outgoing);
        if (isAccepted(answer)) judge.add(target, "other-method", { outgoing, answer });
      }
      for (const method of ["OPTIONS", ...unsafeMethods.slice(0, 1)].filter(isUndeclared)) {
        const plain = await send({ method, target: path });
        if (plain.digest === controls.get(target)?.digest) {
          judge.add(target, "other-method", { outgoing: { method, target: path }, answer: plain });
          continue;
        }
        const outgoing = { method, target: path, headers: overrides(target.method) };
        const answer = await judge.accepted(outgoing);
        if (answer && answer.digest !== plain.digest)
          judge.add(target, "method-override", { outgoing, answer, note: Object.keys(outgoing.headers).join(", ") });
      }
    },
  };
}

export const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
