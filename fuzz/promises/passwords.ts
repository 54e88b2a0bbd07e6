/** Passwords and usernames are compared as RFC 8265 defines (OpaqueString, UsernameCaseMapped), and in no other way. */
import { basicHeader, type Probe, strongPassword } from "./probe.ts";

const flipped = (text: string) =>
  [...text].map((one) => (one === one.toLowerCase() ? one.toUpperCase() : one.toLowerCase())).join("");
const fullwidth = (text: string) => text.replace(/[!-~]/g, (one) => String.fromCharCode(one.charCodeAt(0) + 0xfee0));
const cut = (text: string, bytes: number) =>
  Buffer.from(text)
    .subarray(0, bytes)
    .toString()
    .replace(/\ufffd$/, "");

/** Wrong passwords that services with a known defect accept. */
const variants = (password: string): [string, string][] => [
  ["in the other case", flipped(password)],
  ["in lower case", password.toLowerCase()],
  ["cut at 72 bytes", cut(password, 72)],
  ["with another end after 72 bytes", `${cut(password, 72)}${"z".repeat(password.length - 72)}`],
  ["cut at 64 bytes", cut(password, 64)],
  ["without its last character", password.slice(0, -1)],
  ["with a character more", `${password}x`],
  ["with a blank at the end", `${password} `],
  ["with a blank at the beginning", ` ${password}`],
  ["with single blanks", password.replace(/ +/g, " ")],
  ["without accents", password.normalize("NFD").replace(/\p{M}/gu, "").normalize("NFC")],
  ["in NFKC", password.normalize("NFKC")],
  ["with a NUL", `${password}\0`],
  ["with a NUL and more", `${password}\0more`],
  ["with a line feed", `${password}\n`],
  ["in quotes", `"${password}"`],
  ["percent-encoded", encodeURIComponent(password)],
  ["that is empty", ""],
  ["that is a wildcard", "%"],
];

export async function passwordsAreExact({
  register,
  accepts,
  assert,
  call,
  operationFor,
  runId,
}: Probe): Promise<void> {
  const { username, password, basic } = await register(strongPassword(runId));
  assert(await accepts({ basic }), "the right password is rejected");
  for (const [how, other] of variants(password)) {
    assert(!(await accepts({ basic: [username, other] })), `a password ${how} is accepted`);
  }
  assert(
    await accepts({ basic: [username, password.normalize("NFD")] }),
    "the password in another normal form is rejected",
  );
  const issue = operationFor("issue");
  const latin1 = Buffer.from(`${username}:${password}`, "latin1").toString("base64");
  assert((await call(issue, { raw: `Basic ${latin1}` })).status >= 400, "a password in Latin-1 is accepted");
}

export async function equivalentUsernamesAreOneUser({
  register,
  accepts,
  assert,
  call,
  operationFor,
  runId,
}: Probe): Promise<void> {
  const registration = operationFor("registration");
  const name = `Zoë.Ångström${runId}`;
  const { username, password } = await register(undefined, name);
  const same = [name, name.toUpperCase(), name.toLowerCase(), name.normalize("NFD"), fullwidth(name)];
  for (const other of same) {
    assert(
      await accepts({ basic: [other, password] }),
      `the name ${other} does not sign in, although it is equivalent to ${username}`,
    );
    const { status } = await call(registration, { body: { username: other, password } });
    assert(status === 409, `the name ${other} is registered twice: ${status}`);
  }
  const others = [
    `${name} `,
    ` ${name}`,
    `${name}\0`,
    `${name}.`,
    name.normalize("NFD").replace(/\p{M}/gu, ""),
    `${name}%`,
    name.replace("st", "ﬆ"), // only NFKC makes it the same
    "",
  ];
  for (const other of others)
    assert(!(await accepts({ basic: [other, password] })), `another name signs in: "${other}"`);
}

/** Basic credentials have one valid form (RFC 7617; RFC 4648, section 4). */
export async function basicCredentialsAreStrict({
  register,
  call,
  operationFor,
  assert,
  accepts,
  runId,
}: Probe): Promise<void> {
  // A lossy decoder replaces other bytes with U+FFFD. The encoded password contains both `+` and `/`.
  const password = `${strongPassword(runId)} \ufffd ???>>>~~~ ÿÿÿ`;
  const { username, basic } = await register(password);
  assert(await accepts({ basic }), "the right password is rejected");
  const self = operationFor("self");
  const bytes = Buffer.from(`${username}:${password}`);
  const good = bytes.toString("base64");
  const at = Math.floor(good.length / 2);
  const lossy = Buffer.from(bytes.toString("latin1").replace("\u00ef\u00bf\u00bd", "\u00ff"), "latin1");
  const malformed: [string, string][] = [
    ["with a stray sign", `${good.slice(0, at)}!${good.slice(at)}`],
    ["with a dot at the end", `${good}.`],
    ["with a blank inside", `${good.slice(0, at)} ${good.slice(at)}`],
    ["with a tab inside", `${good.slice(0, at)}\t${good.slice(at)}`],
    ["with padding too much", `${good}=`],
    ["with much padding", `${good}====`],
    ["with a second value", `${good}, ${good}`],
    ["with quotes", `"${good}"`],
    ["with bytes that are not UTF-8", lossy.toString("base64")],
    ["with a byte order mark", Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes]).toString("base64")],
    ["in UTF-16", Buffer.from(bytes.toString(), "utf16le").toString("base64")],
    ["in the alphabet of URLs", good.replaceAll("+", "-").replaceAll("/", "_")],
  ];
  for (const [how, value] of malformed) {
    if (value === good) continue;
    const { status } = await call(self, { raw: `Basic ${value}` });
    assert(status === 400 || status === 401, `Basic credentials ${how} return ${status}`);
  }
  // Of three consecutive lengths, two have padding and unused bits.
  for (const end of ["x", "xx", "xxx"]) {
    const user = await register(`${strongPassword(runId)}${end}`);
    const own = basicHeader(...user.basic).slice("Basic ".length);
    if (!own.endsWith("=")) continue;
    for (const [how, value] of [
      ["without padding", own.replace(/=+$/, "")],
      ["with unused bits", withUnusedBits(own)],
    ]) {
      const { status } = await call(self, { raw: `Basic ${value}` });
      assert(status === 400 || status === 401, `Basic credentials ${how} return ${status}`);
    }
  }
}

/** Returns another encoding of the same bytes, with a different last character. */
export function withUnusedBits(base64: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const end = base64.replace(/=+$/, "").length - 1;
  const sign = alphabet.indexOf(base64[end] as string);
  return base64.slice(0, end) + alphabet[sign ^ 1] + base64.slice(end + 1);
}

/** No response reveals whether a user exists. */
export async function usernamesAreNotDisclosed({
  api,
  register,
  call,
  assert,
  operationFor,
  runId,
}: Probe): Promise<void> {
  const { id, username } = await register();
  const other = await register();
  for (const operation of api.operations.filter(({ schemes }) => schemes.includes("basic"))) {
    const wrong = await call(operation, { basic: [username, "a wrong password"] });
    const unknown = await call(operation, { basic: [`nobody${runId}`, "a wrong password"] });
    assert(
      shown(wrong) === shown(unknown),
      `${operation.method} ${operation.path}: an unknown user can be distinguished from a wrong password`,
    );
  }
  const listed = api.operations.find(
    (one) => one.path === `${operationFor("registration").path}/{id}` && one.method === "GET",
  );
  if (!listed) return;
  const foreign = await call(listed, { basic: other.basic, path: { id } });
  const missing = await call(listed, { basic: other.basic, path: { id: "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b" } });
  assert(foreign.status >= 400, "another user is read");
  assert(shown(foreign) === shown(missing), "another user can be distinguished from one who does not exist");
}

/** A response without the parts that differ each time. */
const shown = ({ status, headers, text }: { status: number; headers: Record<string, string[]>; text: string }) =>
  JSON.stringify([
    status,
    Object.entries(headers).filter(([name]) => !["date", "x-request-id"].includes(name)),
    text.replace(/"instance":"[^"]*"/, ""),
  ]);

/** New passwords that are too short, too long or easy to guess are rejected. */
export async function weakPasswordsAreRejected({ register, call, operationFor, assert, runId }: Probe): Promise<void> {
  const { basic, password } = await register();
  const wrong = { current_password: `${password}x`, new_password: "Seven purple lanterns float above quiet harbours" };
  const { status } = await call(operationFor("changePassword"), { basic, body: wrong });
  assert(status === 401, `the password can be changed with a wrong one: ${status}`);
  const weak = ["short", "a".repeat(20), "passwordpassword", "qwertyuiopasdfgh", "long ".repeat(30)];
  for (const one of weak) {
    const registered = await call(operationFor("registration"), {
      body: { username: `weak${runId}`, password: one },
    });
    assert(registered.status === 422, `the password ${one} can be registered: ${registered.status}`);
    const body = { current_password: password, new_password: one };
    const changed = await call(operationFor("changePassword"), { basic, body });
    assert(changed.status === 422, `the password can be changed to ${one}: ${changed.status}`);
  }
}
