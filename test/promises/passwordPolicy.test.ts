import { describe, expect, test } from "vitest";
import { checkPolicy, passwordPolicy } from "../../src/passwords/policy.ts";
import { checkStrength } from "../../src/passwords/strengthCheck.ts";

const policy = passwordPolicy({
  passwordMinLength: 15,
  passwordBlocklist: true,
  passwordContextWords: ["Acme", "rocket"],
  publicUrl: "https://login.sunflower-bank.example",
});

test.each([
  ["14 characters", "kq7Zw2!pXc9vBn", "miguel", "too-short"],
  ["15 characters", "kq7Zw2!pXc9vBnL", "miguel", undefined],
  ["14 that are 28 UTF-16 units", "😀".repeat(14), "miguel", "too-short"],
  ["129 characters", "correct horse battery ".repeat(6).slice(0, 129), "miguel", "too-long"],
  ["a common one", "passwordpassword", "miguel", "too-common"],
  ["a common one in capitals", "PasswordPassword", "miguel", "too-common"],
  ["one with the username", "sunny miguelgrinberg lamp", "miguel", "contains-username"],
  ["one with the username in capitals", "SUNNY MIGUEL LAMP", "miguel", "contains-username"],
  ["a username of two letters in it", "alabama rocks pencil", "al", undefined],
  ["no digits or symbols at all", "correct horse battery", "miguel", undefined],
])("%s", async (_name, password, username, reason) => {
  expect(await checkPolicy(password, username, policy)).toBe(reason);
});

describe("predictable, however long:", () => {
  test.each([
    "aaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaa1",
    "abcabcabcabcabc",
    "aabbccddeeffgghh",
    "a-b-c-d-e-f-g-h-i",
    "p.a.s.s.w.o.r.d",
    "123456789012345",
    "112233445566778899",
    "abcdefghijklmnop",
    "zyxwvutsrqponmlk",
    "qwertyuiopasdfgh",
    "1qaz2wsx3edc4rfv",
    "1q2w3e4r5t6y7u8i",
    "passwordpassword1",
    "P@ssw0rd123456789",
    "letmeinletmein123",
    "Summer2026Summer2026",
    "Elephant#2026#Elephant",
    "12345elephant12345",
    "!!!Refrigerator!!!",
    "November 25 2026",
    "JohnSmith19850101",
    "2026-11-25-2026-11-25",
    "latchkey2026!!!!",
    "LatchKey-LatchKey-1",
    "l4tchk3yl4tchk3y",
    "acmeacme20261234",
    "MyRocketPassword1",
    "sunflowersunflower1",
    "sunflowerbank2026",
  ])("%s", async (password) => {
    expect(await checkPolicy(password, "miguel", policy)).toMatch(/^too-(predictable|common)$/);
  });

  test("the name of a user who has a short one, repeated", async () => {
    expect(await checkPolicy("xyxyxyxyxyxyxyxy", "xy", policy)).toBe("too-predictable");
  });
});

describe("a few unrelated words:", () => {
  test.each([
    "correct horse battery",
    "staple horse correct",
    "correct horse battery staple",
    "correcthorsebattery",
    "winter garden table",
    "lamp ocean pencil",
    "blue-chair-river-moon",
    "RiverCandleStone",
    "sonnig fahrrad gurke wolke",
    "лампа океан карандаш",
  ])("%s", async (password) => {
    expect(await checkPolicy(password, "miguel", policy)).toBeUndefined();
  });
});

test("the minimum, the list and the words are settings", async () => {
  expect(await checkPolicy("correct horse battery", "miguel", { ...policy, minimumLength: 22 })).toBe("too-short");
  expect(await checkPolicy("passwordpassword1", "miguel", { ...policy, blocklist: false })).toBeUndefined();
  const words = ["zyxomma", "brindlewick"];
  const password = "zyxommabrindlewick";
  expect(await checkPolicy(password, "miguel", policy)).toBeUndefined();
  expect(await checkPolicy(password, "miguel", { ...policy, contextWords: words })).toBe("too-predictable");
});

test("the words are those of the setting, the service's own name and the host name of PUBLIC_URL", () => {
  const words = ["latchkey", "acme", "rocket", "login", "sunflower", "bank", "example"];
  expect(policy.contextWords).toEqual(words);
});

test("what is worst to estimate ends in time", async () => {
  const digits =
    "2 2 2 2 2 2 2 2 2 2 2 2 2 0200!$b0951115l25s2l1001!o2 15 |3 o|8$0l$ 0$ob20b9  90sb22118z 1s91|bsl!z09 2 2 2 2 2";
  for (const worst of ["1@4$5s0o!i|l".repeat(11), digits, "p4s5w0rd!l3tm31n$qw3rty@1990-12-31#".repeat(4)]) {
    // It would reject after its timeout.
    await checkStrength(worst.slice(0, 128), ["latchkey"]);
  }
});
