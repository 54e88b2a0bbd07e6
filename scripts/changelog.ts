/** What a release has to say of the contract's changes: in its version, and in CHANGELOG.md. */
import { type Change, verdicts } from "./contract/changes.ts";

/**
 * Whether a version tells that it breaks clients of another: a new major version, and before 1.0.0,
 * where anything may change, a new minor one (SemVer, section 4).
 */
export function saysBreaking(from: string, to: string): boolean {
  const [[oldMajor, oldMinor], [major, minor]] = [numbers(from), numbers(to)];
  return major > oldMajor || (major === 0 && oldMajor === 0 && minor > oldMinor);
}

function numbers(version: string): [major: number, minor: number] {
  const [, major, minor] = /^(\d+)\.(\d+)\.\d+/.exec(version) ?? [];
  if (major === undefined) throw new Error(`${version} is not a version as SemVer has them.`);
  return [Number(major), Number(minor)];
}

const heading = "### Contract";

/** The changelog with these changes as the part `### Contract` of what is unreleased, in place of the one that was there. */
export function withContractPart(changelog: string, changes: Change[]): string {
  const chapters = changelog.split(/^(?=## )/m);
  const index = chapters.findIndex((chapter) => /^## Unreleased\s/.test(chapter));
  const [title, ...parts] = (chapters[index] ?? "").split(/^(?=### )/m);
  if (!title) throw new Error("CHANGELOG.md has no section Unreleased.");
  const contract = changes.length > 0 ? [`${heading}\n\n${lines(changes).join("\n")}`] : [];
  const others = parts.filter((part) => !part.startsWith(`${heading}\n`));
  const unreleased = [title, ...contract, ...others].map((part) => part.trimEnd()).join("\n\n");
  const isLast = index === chapters.length - 1;
  return chapters.with(index, `${unreleased}\n${isLast ? "" : "\n"}`).join("");
}

/** A line for each change, with all that it happens to: a change of one schema can be one of many operations. */
function lines(changes: Change[]): string[] {
  return verdicts.flatMap((verdict) => {
    const found = changes.filter((change) => change.verdict === verdict);
    return [...new Set(found.map(({ text }) => text))].map((text) => {
      const subjects = found.filter((change) => change.text === text).map(({ subject }) => subject);
      return `- ${verdict[0]?.toUpperCase()}${verdict.slice(1)}: ${text}: ${subjects.join(", ")}`;
    });
  });
}
