/** The device flow, with its limits. */
import type { Access } from "../access/rights.ts";
import { createDeviceCodes, type DeviceCodes } from "../oauth/devices/deviceCodes.ts";
import { deviceCodeStore } from "../oauth/devices/store.ts";
import { userCodeHmacs } from "../oauth/devices/userCodes.ts";
import type { FindRequestedAccess } from "../oauth/requestedAccess.ts";
import { createActionLimit, noActionLimit } from "../throttling/actionLimit.ts";
import { throttleKeys } from "../throttling/keys.ts";
import { attemptStore } from "../throttling/store.ts";
import type { StartContext } from "./context.ts";
import type { Keys } from "./keys.ts";
import type { Observability } from "./observability.ts";
import type { Storage } from "./storage.ts";

type EarlierParts = {
  observability: Observability;
  storage: Storage;
  keys: Keys;
  findRequestedAccess: FindRequestedAccess;
  access: Pick<Access, "rightsOf">;
};

export function openDeviceCodes(
  { config }: StartContext,
  {
    observability: { audit },
    storage: { database, clock },
    keys: { secretKeys },
    findRequestedAccess,
    access,
  }: EarlierParts,
): DeviceCodes {
  const parts = {
    // Users mistype a code about as often as a password, so the quotas are the same.
    quotas: { network: config.throttleAddress, user: config.throttleAccount },
    store: attemptStore(database),
    keys: throttleKeys(secretKeys.counting),
    clock,
    audit,
  };
  const limitOf = (limit: "user-codes" | "device-codes") =>
    config.throttle ? createActionLimit({ ...parts, limit }) : noActionLimit;
  return createDeviceCodes({
    store: deviceCodeStore(database),
    hmacs: userCodeHmacs(secretKeys.counting),
    findRequestedAccess,
    access,
    lifetimeSeconds: config.deviceCodeSeconds,
    audit,
    limits: { deviceCodes: limitOf("device-codes"), userCodes: limitOf("user-codes") },
  });
}
