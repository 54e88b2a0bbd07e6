import { userInfo } from "node:os";

/** @returns the name of the account that the process runs as; `undefined` for a uid without an entry in passwd */
export function accountName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}
