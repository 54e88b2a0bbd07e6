/** Since when a transaction has been visible, according to snapshots that are read once a second. */
import { expect, test } from "vitest";
import { commitHistory } from "../../src/database/commitHistory.ts";

/** A history in which transaction 100 began and became visible the given number of seconds ago. */
function historyOf(
  seconds: number,
  began: number,
  visible: number,
  gap?: { from: number; to: number },
  isLast = false,
) {
  const history = commitHistory(() => seconds * 1000);
  for (let second = 0; second <= seconds; second += 1) {
    const ago = seconds - second;
    if (gap && ago < gap.from && ago > gap.to) continue;
    // Postgres lists running transactions below the newest completed one.
    const running = isLast ? "95:100:" : "100:120:100,110";
    const snapshot = ago >= began ? "90:95:" : ago > visible ? running : "120:130:";
    history.record("a server", snapshot, second * 1000);
  }
  return history;
}

test.each([
  ["that took no time", historyOf(60, 30.5, 30), 30.5, 30.5],
  ["that took two seconds", historyOf(60, 31, 29), 31, 29],
  ["that took 20 s, 25 s ago", historyOf(60, 45, 25), 45, 25],
  ["that took 20 s and is visible at once", historyOf(60, 20, 0), 20, 0],
  ["that is visible, and was not yet in the last snapshot", historyOf(60, 20, -1), 20, 0],
  ["that began before this instance and ended since", historyOf(10, 30, 5), 30, 5],
  ["that ended before this instance began", historyOf(4, 30, 20), 30, 4],
  ["during an absence of the database", historyOf(60, 40, 40, { from: 42, to: 12 }), 40, 12],
  ["that none has followed", historyOf(60, 45, 25, undefined, true), 45, 25],
])("a commit %s", (_name, history, startedSecondsAgo, expected) => {
  expect(history.secondsVisible("100", startedSecondsAgo)).toBe(expected);
});

test("without a recent snapshot, or with one of another server, nothing is known to be visible", () => {
  let now = 60_000;
  const history = commitHistory(() => now);
  expect(history.secondsVisible("100", 30)).toBe(0);
  for (let second = 0; second <= 60; second += 1) history.record("a server", "120:130:", second * 1000);
  expect(history.secondsVisible("100", 30)).toBe(30);
  now = 64_000;
  expect(history.secondsVisible("100", 30)).toBe(0);
  history.record("a server", "120:130:", 62_000);
  history.record("another server", "120:130:", 63_000);
  expect(history.secondsVisible("100", 30)).toBe(1);
});
