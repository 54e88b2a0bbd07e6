import { userInfo } from "node:os";

/** @returns the name of the account that the process runs as; `undefined` if its uid has no entry in /etc/passwd */
export function accountName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}
