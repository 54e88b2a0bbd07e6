#!/usr/bin/env node
/**
 * The entry of the command line. What is imported here, and this file itself, must parse on every Node that knows modules:
 * an old one has to print a sentence, not a stack trace. The program is imported once the version is known to be enough.
 */
import "./noInspector.ts"; // first
import "./nodeVersion.ts"; // exits where Node is too old
import "./newSpace.ts"; // before what is large
import "./earlySignals.ts";

import("./program.ts").catch((error: unknown) => {
  // A package that is missing, or half an installation.
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`latchkey: The program cannot be loaded: ${message.split("\n")[0]}. Install it again.\n`);
  process.exitCode = 70;
});
