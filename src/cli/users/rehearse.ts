/** `latchkey users import --dry-run`: what an import would do, what the hashes cost, and whether known passwords match. */
import { InputError } from "../../errors.ts";
import { type PasswordHasher, passwordHasher } from "../../passwords/hashing.ts";
import { type FormSummary, rehearseImport } from "../../users/transfer/rehearsal.ts";
import { canonicalUsername } from "../../users/username.ts";
import type { Tools } from "../database.ts";
import { counted, printMessage } from "../output.ts";
import { readSecrets } from "../prompt.ts";
import { printRows } from "../results.ts";
import { type ImportOptions, openImport, requireNoneRefused } from "./importFile.ts";

/** @param options.names users whose passwords are checked */
export async function rehearse(
  tools: Tools,
  file: string,
  { names, ...options }: ImportOptions & { names: readonly string[] },
): Promise<void> {
  const { config, log } = tools;
  const passwords = names.length === 0 ? [] : await readSecrets(names.map((name) => `Password of ${name}: `));
  const users = names.map((name, index) => ({
    name: canonicalUsername(name) ?? name,
    password: passwords[index] ?? "",
  }));
  const opened = await openImport(tools, file, options);
  const { counts, forms, hashes } = await rehearseImport(
    opened.entries,
    opened,
    new Set(users.map(({ name }) => name)),
  ).finally(opened.close);

  const cost = { memoryKiB: config.argon2MemoryKib, passes: config.argon2Passes };
  const hasher = passwordHasher(cost, (message) => log.warn(message));
  const rows = [];
  for (const form of forms) rows.push(await describeForm(form, hasher));
  await printRows([rows], {
    columns: ["form", "users", "costliest", "sign_in_ms"],
    json: options.json,
    none: "The file has no users.",
  });
  const { imported, existing, refused } = counts;
  printMessage(
    `Nothing was written. ${counted(imported, "user")} would be imported. Existing: ${existing}. Refused: ${refused}.`,
  );
  let wrong = 0;
  for (const { name, password } of users) {
    const stored = hashes.get(name);
    const matches = stored !== undefined && (await hasher.verify(stored, password)).matches;
    if (!matches) wrong += 1;
    printMessage(
      `${name}: ${stored === undefined ? "not in the file" : `the password ${matches ? "matches" : "does not match"}`}.`,
    );
  }
  requireNoneRefused(counts);
  if (wrong > 0) throw new InputError(`${counted(wrong, "password")} could not be confirmed.`);
}

/** A wrong password for the costliest hash of a form takes as long as the right one. */
async function describeForm({ form, users, costliest, stored }: FormSummary, hasher: PasswordHasher) {
  const began = performance.now();
  await hasher.verify(stored, "a password that nobody has");
  const elapsed = Math.round(performance.now() - began);
  return { form, users, costliest: costliest?.parameters || null, sign_in_ms: costliest ? elapsed : null };
}
