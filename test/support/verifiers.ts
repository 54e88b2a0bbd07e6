/** Verifiers of tests, which are closed after the test. */
import {
  createVerifier,
  type Principal,
  Refusal,
  type Verifier,
  type VerifierOptions,
} from "../../packages/verify/src/index.ts";
import { afterTest } from "./afterTest.ts";
import { audience } from "./fakeLatchkey.ts";

export type TestVerifier = Verifier & {
  /** Verifies with `Bearer`. Returns the caller, or the last part of the problem's type. */
  ask(credential: string, scopes?: readonly string[]): Promise<Principal | string>;
  /** What was reported of failed requests. */
  errors: string[];
};

export function startVerifier(options: Partial<VerifierOptions> & { issuer: string }): TestVerifier {
  const errors: string[] = [];
  const verifier = createVerifier({ audience, onError: ({ message }) => void errors.push(message), ...options });
  afterTest(verifier.close);
  const ask = (credential: string, scopes?: readonly string[]) =>
    outcome(verifier, `Bearer ${credential}`, scopes).then((found) =>
      found instanceof Refusal ? slugOf(found) : found,
    );
  return { ...verifier, ask, errors };
}

/** Returns the caller or the refusal. Anything else that is thrown fails the test. */
export async function outcome(
  verifier: Pick<Verifier, "verify">,
  authorization: string | null | undefined,
  scopes?: readonly string[],
): Promise<Principal | Refusal> {
  try {
    return await verifier.verify(authorization, scopes && { scopes });
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw new Error("The verifier threw something else than a refusal.", { cause: error });
  }
}

export const slugOf = ({ problem }: Refusal): string => problem.type.slice(problem.type.lastIndexOf("/") + 1);
