/** Semantic Versioning (https://semver.org): which version a release must have. */
import type { Change } from "./contract/changes.ts";

type Numbers = [major: number, minor: number, patch: number];

/** @throws {Error} if the text is not a version without a pre-release part */
export function parseVersion(version: string): Numbers {
  const [, major, minor, patch] = /^(\d+)\.(\d+)\.(\d+)$/.exec(version) ?? [];
  if (patch === undefined) throw new Error(`${version} is not a version such as 1.2.3.`);
  return [Number(major), Number(minor), Number(patch)];
}

/** @returns a negative number if `one` is lower than `other`, 0 if they are equal */
export function compareVersions(one: string, other: string): number {
  const [before, after] = [parseVersion(one), parseVersion(other)];
  return before[0] - after[0] || before[1] - after[1] || before[2] - after[2];
}

/** Whether clients of `from` must expect that `to` breaks them: a new major version, or before 1.0.0 a new minor one. */
export function announcesBreakingChange(from: string, to: string): boolean {
  const [[oldMajor, oldMinor], [major, minor]] = [parseVersion(from), parseVersion(to)];
  return major > oldMajor || (major === 0 && oldMajor === 0 && minor > oldMinor);
}

/** @returns the lowest version after `released` that these changes of the contract allow */
export function nextVersion(released: string, changes: Pick<Change, "verdict">[]): string {
  const [major, minor, patch] = parseVersion(released);
  const isBreaking = changes.some(({ verdict }) => verdict === "breaking");
  if (major === 0) return isBreaking ? `0.${minor + 1}.0` : `0.${minor}.${patch + 1}`;
  if (isBreaking) return `${major + 1}.0.0`;
  return changes.length > 0 ? `${major}.${minor + 1}.0` : `${major}.${minor}.${patch + 1}`;
}
