/** `latchkey users export`: writes all users with their password hashes, for an import. */
import { open, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Option } from "@commander-js/extra-typings";
import { InputError } from "../../errors.ts";
import { type Format, formats } from "../../users/transfer/entry.ts";
import { exportUsers } from "../../users/transfer/exportUsers.ts";
import { transferStore } from "../../users/transfer/store.ts";
import type { Define } from "../arguments.ts";
import { type Tools, withDatabase } from "../database.ts";
import { examples } from "../help.ts";
import { counted, printMessage } from "../output.ts";
import { codeOf, formatOf } from "./importFile.ts";

export const defineExport: Define = (users, execute) => {
  users
    .command("export")
    .description("Export all users with their password hashes, roles and blocks, for an import.")
    .addOption(new Option("--format <format>", "by default, that of the file's name").choices(formats))
    .option("--output <file>", "write to a new file that only its owner can read, instead of standard output")
    .addHelpText("after", examples("users export --output users.ndjson", "users export --format csv > users.csv"))
    .action(({ format, output }) =>
      execute(withDatabase((tools) => runExport(tools, { format: format ?? formatOf(output), output }))),
    );
};

type ExportOptions = { format: Format; output: string | undefined };

async function runExport({ database, audit }: Tools, { format, output }: ExportOptions): Promise<void> {
  const store = transferStore(database);
  let users = 0;
  const counting: typeof store = {
    ...store,
    async readPage(after) {
      const page = await store.readPage(after);
      users += page.length;
      return page;
    },
  };
  const source = Readable.from(exportUsers(counting, format));
  try {
    if (output === undefined) await pipeline(source, process.stdout, { end: false });
    else await writeFile(source, output);
  } finally {
    // Also after an error: what was written until then is known.
    audit("users-exported", { users, reason: "operator" });
  }
  printMessage(`Exported ${counted(users, "user")} with their password hashes: keep the export secret.`);
}

/** @throws {InputError} if the file exists or cannot be created */
async function writeFile(source: Readable, file: string): Promise<void> {
  const handle = await open(file, "wx", 0o600).catch((error: unknown) => {
    throw new InputError(`${file} cannot be created (${codeOf(error)}).`);
  });
  try {
    await pipeline(source, handle.createWriteStream({ flush: true }));
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
}
