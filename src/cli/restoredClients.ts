/** What `latchkey restore` does about clients of OAuth. The sessions and codes of their users end with every epoch. */
import type { Knex } from "knex";
import { statement } from "../database/sql.ts";
import { counted, printLine } from "./output.ts";

/** How many of each were ended. */
export type EndedForClients = { secrets: number; keySets: number; grants: number; deviceCodes: number };

/**
 * Ends what may have been deleted, replaced or withdrawn since the backup. The clients stay: administrators may not remember their
 * redirect URIs and scopes.
 */
export async function endForClients(transaction: Knex.Transaction): Promise<EndedForClients> {
  const ended = {
    secrets: await endClientSecrets.count(transaction),
    keySets: await endClientKeys.count(transaction),
    grants: await endGrants.count(transaction),
    deviceCodes: await endDeviceCodes.count(transaction),
  };
  await readDocumentsAgain.count(transaction);
  return ended;
}

export function printEndedForClients({ secrets, keySets, grants, deviceCodes }: EndedForClients): void {
  printLine(`${counted(secrets, "secret")} of clients: ended. A rotation gives a client a new one.`);
  if (keySets > 0) {
    printLine(`The keys of ${counted(keySets, "client")}: ended. A change of the client gives it new ones.`);
  }
  printLine(`${counted(grants, "grant")} of clients: ended. Users are asked again.`);
  printLine(`${counted(deviceCodes, "device code")}: ended.`);
}

const endClientSecrets = statement({ name: "end-client-secrets", sql: "DELETE FROM client_secrets" });

/** Keys at a URL are read from there again. */
const endClientKeys = statement({
  name: "end-client-keys",
  sql: "UPDATE clients SET jwks = NULL, version = DEFAULT, updated_at = now() WHERE jwks IS NOT NULL",
});

const endGrants = statement({ name: "end-grants", sql: "DELETE FROM grants" });

/** Codes that no user has decided about have no epoch that could end them. */
const endDeviceCodes = statement({ name: "end-device-codes", sql: "DELETE FROM device_codes" });

const readDocumentsAgain = statement({
  name: "read-client-documents-again",
  sql: "UPDATE clients SET document_expires_at = now() WHERE document_expires_at IS NOT NULL",
});
