#!/usr/bin/env node
/**
 * The entry point of the command line. Node 14 can parse this file and its static imports, so that an old Node prints a readable
 * error instead of a syntax error.
 */
import { handleEarlySignals } from "./cli/earlySignals.ts";
import { exitCannotLoad, requireNode } from "./cli/loading.ts";

// Without a listener, SIGUSR1 opens Node's inspector: a debugger without a password, through which every user of the machine can
// run code in this process.
process.on("SIGUSR1", () => {});

requireNode(20, 19);
handleEarlySignals(process.argv[2] || "serve");
import("./process/newSpace.ts")
  .then(() => import("./cli/program.ts"))
  .then(({ run }) => run(process.argv.slice(2)))
  .catch(exitCannotLoad);
