/** The text of an API key: a secret with the prefix `lk_` (lib/secretText.ts). docs/api-keys.md describes it, with test vectors. */
import { type NewSecret, type SecretDigest, secretFormat } from "../lib/secretText.ts";

export type ApiKeyDigest = SecretDigest;
export { digestBytes } from "../lib/secretText.ts";
export type { NewSecret };

export const { format: formatKey, create: newSecret, parse: parseKey } = secretFormat("lk_");
