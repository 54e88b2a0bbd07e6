/** How the program ends after an error. */
import cluster from "node:cluster";
import { inspect } from "node:util";
import { exitStatus, FatalError } from "../errors.ts";
import { printFatal } from "../observability/log.ts";
import { problems } from "../problems/catalogue.ts";
import { Problem } from "../problems/problems.ts";
import { reportFailure } from "../process/workerMessages.ts";
import { escapeControls } from "./output.ts";

/** Something may keep the process alive, such as a dead connection. Flushing the log takes up to a second. */
const exitAfterMs = 1_500;

/** Prints the error on standard error, and sets the exit status. A worker reports it to its primary instead. */
export function exitWithError(error: unknown): void {
  const { message, status } = explain(error);
  process.exitCode = status;
  if (cluster.isWorker) reportFailure(message);
  else printFatal(`latchkey: ${escapeControls(message)}`);
  cluster.worker?.disconnect(); // the channel to the primary keeps the process alive
  setTimeout(() => process.exit(), exitAfterMs).unref();
}

/** A rule of the domain rejects what the command was given. */
function explainProblem(problem: Problem): string {
  const { title, detail, errors = [] } = problem.body("");
  if (errors.length > 0)
    return errors
      .map((error) => `${"pointer" in error ? memberOf(error.pointer) : "argument"}: ${error.detail}`)
      .join("\n");
  return detail === undefined ? `${title}.` : `${title}: ${detail}`;
}

/** `#/new_password` is `password`, `#/scopes/0` is `scopes`. */
const memberOf = (pointer: string): string => pointer.replace(/^#\/(new_)?/, "").replace(/\/.*$/, "");

function explain(error: unknown): { message: string; status: number } {
  if (error instanceof FatalError) return { message: error.message, status: error.exitStatus };
  // The database, or something else that the command needs, does not respond in time.
  if (error instanceof Problem && error.status === 503) {
    const cause = error.cause instanceof Error ? ` (${error.cause.message})` : "";
    return { message: `${problems[error.slug].title}${cause}. Try again.`, status: exitStatus.unavailable };
  }
  if (error instanceof Problem && error.status < 500)
    return {
      message: explainProblem(error),
      status: error.slug === "not-found" ? exitStatus.unavailable : exitStatus.input,
    };
  return { message: inspect(error), status: exitStatus.software };
}
