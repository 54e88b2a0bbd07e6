/** The passwords that the documentation sets are accepted by the password policy, which most tests turn off. */
import { readdir, readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { readConfig } from "../../src/config/config.ts";
import { checkPolicy, newPassword, passwordPolicy } from "../../src/passwords/policy.ts";
import { checkStrength } from "../../src/passwords/strengthCheck.ts";

type Example = { file: string; password: string; username: string | undefined };

const contracts = ["openapi.yaml", "workflows.arazzo.yaml"];
const chapters = (await readdir("docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
const packages = (await readdir("packages")).map((name) => `packages/${name}/README.md`);
const files = ["README.md", ...chapters, ...packages, ...contracts];
const texts = await Promise.all(files.map(async (file) => [file, await readFile(file, "utf8")] as const));

/** The forms of passwords in text. `before` and `after` may contain the username as a member of the same JSON object. */
const patterns = {
  "a member of JSON": /(?<before>[^{}]*)"(?:new_|current_)?password" *: *"(?<password>[^"]+)"(?=(?<after>[^{}]*))/g,
  "-u": /-u (?<quote>['"])(?<username>[^'":]+):(?<password>[^'"]+)\k<quote>/g,
  "--password-stdin": /echo "(?<password>[^"]+)" \| .*latchkey users [\w-]+ (?<username>\S+) .*--password-stdin/g,
  "an environment variable": /\bPASSWORD="(?<password>[^"]+)"/g,
  "the value of $ADMIN": /`(?<username>[\w-]+):(?<password>\w+(?: \w+)+)`/g,
  "a call of the client": /\bsign(?:In|Up)\("(?<username>[^"]+)", "(?<password>[^"]+)"/g,
};
const usernameIn = (text: string | undefined) => /"username" *: *"([^"]+)"/.exec(text ?? "")?.[1];
const isVariable = (text: string) => /^\$|^[{]|…/.test(text);

const inText = Object.entries(patterns).map(([form, pattern]) => {
  const found = texts.flatMap(([file, text]) =>
    [...text.matchAll(pattern)].map(({ groups = {} }): Example => {
      const { password = "", username, before, after } = groups;
      return { file, password, username: username ?? usernameIn(before) ?? usernameIn(after) };
    }),
  );
  return [form, found.filter(({ password }) => !isVariable(password))] as const;
});

/** The passwords in examples and defaults of a YAML document, under any name that ends with `password`. */
function inDocument(file: string, value: unknown): Example[] {
  if (typeof value !== "object" || value === null) return [];
  const own = Object.entries(value).flatMap(([name, member]): Example[] => {
    if (!/password$/i.test(name)) return [];
    const password = typeof member === "object" ? (member?.example ?? member?.default) : member;
    if (typeof password !== "string" || isVariable(password)) return [];
    const { username } = value as { username?: unknown };
    return [{ file, password, username: typeof username === "string" && !isVariable(username) ? username : undefined }];
  });
  return [...own, ...Object.values(value).flatMap((member) => inDocument(file, member))];
}
const inContracts = texts
  .filter(([file]) => contracts.includes(file))
  .map(([file, text]) => [file, inDocument(file, parse(text))] as const);

const anyPassword = "with a token or an API key as the username, any password works";
/** Passwords that nobody sets. */
const excluded: { file: string; password: string; reason: string }[] = [
  { file: "workflows.arazzo.yaml", password: "123456789012345", reason: "the step checks that it is rejected" },
  { file: "workflows.arazzo.yaml", password: "unused", reason: anyPassword },
  { file: "README.md", password: "unused", reason: anyPassword },
  { file: "docs/api-keys.md", password: "unused", reason: anyPassword },
];
const isExcluded = (example: Example) =>
  excluded.some(({ file, password }) => file === example.file && password === example.password);

const policy = passwordPolicy(readConfig({}));
const examples = [...inText, ...inContracts].flatMap(([, found]) => found);

test.each([...inText, ...inContracts])("there are passwords in the form of %s", (_form, found) => {
  expect(found.filter((example) => !isExcluded(example))).not.toEqual([]);
});

test("the policy accepts every password of the documentation for its user", { timeout: 60_000 }, async () => {
  expect(await checkStrength("seven green kettles", [])).toBe("too-predictable"); // the dictionaries are loaded
  const usernames = new Set(examples.flatMap(({ username }) => username ?? []));
  expect(usernames.size).toBeGreaterThan(3);
  const refused = new Set<string>();
  for (const example of examples.filter((example) => !isExcluded(example))) {
    // A password without a username is that of any user.
    for (const username of example.username === undefined ? usernames : [example.username]) {
      const enforced = newPassword(example.password);
      const reason = "text" in enforced ? await checkPolicy(enforced.text, username, policy) : enforced.refusal;
      if (reason) refused.add(`${example.file}: "${example.password}" of ${username}: ${reason}`);
    }
  }
  expect([...refused]).toEqual([]);
});

test.each(excluded)("an excluded password is in $file and refused: $reason", async ({ file, password }) => {
  expect(examples).toContainEqual(expect.objectContaining({ file, password }));
  expect(await checkPolicy(password, "miguel", policy)).toBeDefined();
});
