/** The contract of the last release, which is kept in the repository: a clone without tags is enough to compare. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";

export type Contract = { info: { version: string } };

export const releasedFile = "contract/released.yaml";

const notice =
  "# The contract of the last release, written by `npm run release`. Do not edit: `npm run contract:diff` compares with it.\n";

/** @returns the text of `contract/released.yaml` for a release of this contract */
export const releasedText = (contract: string): string => notice + contract;

/** @throws {Error} if the file cannot be read */
export async function readContract(file: string): Promise<Contract> {
  return parse(await readFile(file, "utf8")) as Contract;
}

/** @returns the folders of the packages that are released together, this one first, as package-lock.json names them */
export const packageFolders = async (): Promise<string[]> => [
  "",
  ...(await readdir("packages")).sort().map((folder) => `packages/${folder}`),
];

/**
 * Reads the version that the contract and all packages share.
 * @throws {Error} if they differ
 */
export async function readVersion(contract: Contract): Promise<string> {
  const { version } = contract.info;
  for (const folder of await packageFolders()) {
    const file = join(folder, "package.json");
    const packaged = (JSON.parse(await readFile(file, "utf8")) as { version: string }).version;
    if (version !== packaged)
      throw new Error(`openapi.yaml has version ${version}, but ${file} has ${packaged}. They must be the same.`);
  }
  return version;
}
