/** Reads the contract of a service from a file, or from the service itself. */
import { readFile } from "node:fs/promises";
import { ContractError, parseDocument } from "../../../packages/verify/src/contract/contract.ts";
import { InputError, StartError } from "../../errors.ts";
import { wrongUsage } from "../arguments.ts";
import { isAccepted } from "./judge.ts";
import type { Send } from "./send.ts";
import { readTargets, type Targets } from "./targets.ts";

const paths = ["/openapi.yaml", "/openapi.json"];

type Place = { file: string | undefined; origin: string; basePath: string; send: Send };

/**
 * @throws {InputError} if the contract cannot be used
 * @throws {StartError} if the service does not respond
 * @throws {UsageError} if it has no contract
 */
export async function findContract({ file, origin, basePath, send }: Place): Promise<Targets> {
  try {
    if (file !== undefined) return readTargets(await parseDocument(await readFile(file, "utf8")), basePath);
    for (const path of new Set([...paths.map((path) => basePath + path), ...paths])) {
      const answer = await send({ method: "GET", target: path });
      if (answer.status === 0) throw new StartError(`${origin} does not respond.`);
      if (isAccepted(answer)) return readTargets(await parseDocument(answer.body.toString()), basePath);
    }
  } catch (error) {
    if (error instanceof ContractError || (error instanceof Error && "syscall" in error))
      throw new InputError(error.message, { cause: error });
    throw error;
  }
  throw wrongUsage("probe", `${origin} has neither ${paths.join(" nor ")}. Use --contract FILE.`);
}
