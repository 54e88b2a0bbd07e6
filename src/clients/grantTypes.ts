/** The grant types of clients. */
import type { GrantType } from "./storeTypes.ts";

/** The grant type of the device flow (RFC 8628, section 3.4). */
export const deviceCodeGrant = "urn:ietf:params:oauth:grant-type:device_code";

/** Whether a client with these grant types can act for users, and not only for itself. */
export const canActForUsers = (grantTypes: readonly GrantType[]): boolean =>
  grantTypes.includes("authorization_code") || grantTypes.includes(deviceCodeGrant);
