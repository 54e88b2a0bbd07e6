/** SQL types of columns that contain identifiers. */
import type {
  ApiKeyId,
  CanonicalUsername,
  ClientId,
  ClientSecretId,
  GrantId,
  Network,
  RevocationSubject,
  SessionId,
  UserId,
} from "../identifiers.ts";
import { narrowed, text, uuid } from "./sqlTypes.ts";

export const userId = narrowed<UserId>(uuid);
export const sessionId = narrowed<SessionId>(uuid);
export const apiKeyId = narrowed<ApiKeyId>(uuid);
export const clientId = narrowed<ClientId>(text);
export const clientSecretId = narrowed<ClientSecretId>(uuid);
export const grantId = narrowed<GrantId>(uuid);
export const username = narrowed<CanonicalUsername>(text);
export const network = narrowed<Network>(text);
export const revocationSubject = narrowed<RevocationSubject>(text);
