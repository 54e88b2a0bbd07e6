/** Edits CHANGELOG.md, which has the format of Keep a Changelog. */
import { type Change, verdicts } from "./contract/changes.ts";

const contractHeading = "### Contract";

/** Replaces the part `### Contract` of the section Unreleased by these changes. */
export function withContractPart(changelog: string, changes: Change[]): string {
  const { before, unreleased, after } = sections(changelog);
  const [title = "", ...parts] = unreleased.split(/^(?=### )/m);
  const contract = changes.length > 0 ? [`${contractHeading}\n\n${lines(changes).join("\n")}`] : [];
  const others = parts.filter((part) => !part.startsWith(`${contractHeading}\n`));
  const text = [title, ...contract, ...others].map((part) => part.trimEnd()).join("\n\n");
  return `${before}${text}\n${after === "" ? "" : `\n${after}`}`;
}

/**
 * Moves the entries of Unreleased to a section for the version.
 * @param date in ISO form, such as 2026-11-26
 * @throws {Error} if Unreleased has no entries
 */
export function withRelease(changelog: string, version: string, date: string): string {
  const { before, unreleased, after } = sections(changelog);
  const entries = unreleased.replace(/^## .*\n/, "").trim();
  if (entries === "") throw new Error("CHANGELOG.md has no entries under Unreleased.");
  return `${before}## Unreleased\n\n## ${version} - ${date}\n\n${entries}\n${after === "" ? "" : `\n${after}`}`;
}

/** Whether the changelog has a section for the version. */
export const isReleased = (changelog: string, version: string): boolean =>
  changelog.split("\n").some((line) => line.startsWith(`## ${version} `));

function sections(changelog: string): { before: string; unreleased: string; after: string } {
  const all = changelog.split(/^(?=## )/m);
  const index = all.findIndex((section) => /^## Unreleased\s/.test(section));
  if (index < 0) throw new Error("CHANGELOG.md has no section Unreleased.");
  return {
    before: all.slice(0, index).join(""),
    unreleased: all[index] ?? "",
    after: all.slice(index + 1).join(""),
  };
}

/** One line for each change, with every operation that it affects. */
function lines(changes: Change[]): string[] {
  return verdicts.flatMap((verdict) => {
    const found = changes.filter((change) => change.verdict === verdict);
    return [...new Set(found.map(({ text }) => text))].map((text) => {
      const subjects = found.filter((change) => change.text === text).map(({ subject }) => subject);
      return `- ${verdict[0]?.toUpperCase()}${verdict.slice(1)}: ${text}: ${subjects.join(", ")}`;
    });
  });
}
