import { expect, test } from "vitest";
import { refusalOf } from "../src/passwords/policy.ts";

const policy = { minimumLength: 8, blocklist: true };

test.each([
  ["7 characters", "aB3$xyz", "miguel", "too-short"],
  ["8 characters", "aB3$xyzw", "miguel", undefined],
  ["7 that are 14 UTF-16 units", "😀".repeat(7), "miguel", "too-short"],
  ["128 characters", "😀".repeat(128), "miguel", undefined],
  ["129 characters", "x".repeat(129), "miguel", "too-long"],
  ["a common one", "password1", "miguel", "too-common"],
  ["a common one in capitals", "PASSWORD1", "miguel", "too-common"],
  ["one with the username", "iammiguelgrinberg", "miguel", "contains-username"],
  ["one with the username in capitals", "I AM MIGUEL G.", "miguel", "contains-username"],
  ["a username of two letters in it", "alabama rocks", "al", undefined],
  ["no digits or symbols at all", "correct horse battery", "miguel", undefined],
])("%s", (_name, password, username, reason) => {
  expect(refusalOf(password, username, policy)).toBe(reason);
});

test("the minimum and the list are settings", () => {
  expect(refusalOf("twelve chars", "miguel", { ...policy, minimumLength: 13 })).toBe("too-short");
  expect(refusalOf("password1", "miguel", { ...policy, blocklist: false })).toBeUndefined();
});
