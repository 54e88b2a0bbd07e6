/** The text of a client secret: a secret with the prefix `lks_` (lib/secretText.ts). */
import { secretFormat } from "../lib/secretText.ts";

export const { create: newClientSecret, parse: parseClientSecret } = secretFormat("lks_");

/** So that one secret can replace another without an interruption. */
export const maxSecrets = 2;
