/**
 * The device flow (RFC 8628): a program without a browser shows a code, and the user enters it on another device. The device polls
 * the token endpoint meanwhile (grants/deviceCode.ts).
 */
import { v7 as uuidv7 } from "uuid";
import { type Access, heldScopes } from "../../access/rights.ts";
import type { Audit } from "../../audit/audit.ts";
import { deviceCodeGrant } from "../../clients/grantTypes.ts";
import type { Client } from "../../clients/storeTypes.ts";
import { grantId } from "../../identifiers.ts";
import type { Caller } from "../../principal.ts";
import { Problem } from "../../problems/problems.ts";
import type { ActionLimit } from "../../throttling/actionLimit.ts";
import type { SignedInUser } from "../authorization/storeTypes.ts";
import { digestOfCode, newCode } from "../codes/codes.ts";
import type { AccessRequest, FindRequestedAccess } from "../requestedAccess.ts";
import type { DeviceCodeStore, DeviceDecision, DeviceRequest } from "./storeTypes.ts";
import { newUserCode, parseUserCode, type UserCodeHmacs } from "./userCodes.ts";

/** How long a device waits between two polls, at first. */
export const pollIntervalSeconds = 5;

/** A new code is already in use with a probability of (pending codes) / 2.56 × 10¹⁰. */
const maxTries = 5;

/** What the device receives. `userCode`: without its dash. */
export type StartedDeviceCode = { deviceCode: string; userCode: string; expiresInSeconds: number };

export type DeviceCodes = ReturnType<typeof createDeviceCodes>;

type Parts = {
  store: DeviceCodeStore;
  hmacs: (userCode: string) => UserCodeHmacs;
  findRequestedAccess: FindRequestedAccess;
  access: Pick<Access, "rightsOf">;
  lifetimeSeconds: number;
  limits: { deviceCodes: ActionLimit; userCodes: ActionLimit };
  audit: Audit;
};

export function createDeviceCodes(parts: Parts) {
  const { store, hmacs, findRequestedAccess, access, lifetimeSeconds, limits, audit } = parts;
  /**
   * @throws {Problem} `unauthorized-client` if the client may not use the grant; `invalid-client` if it was deleted meanwhile;
   * `invalid-scope`, `invalid-target`, `too-many-requests`
   */
  async function start(client: Client, request: AccessRequest): Promise<StartedDeviceCode> {
    if (!client.grantTypes.includes(deviceCodeGrant)) throw new Problem("unauthorized-client");
    const requested = await findRequestedAccess(client, request);
    await limits.deviceCodes();
    const deviceCode = newCode();
    for (let tries = 0; tries < maxTries; tries += 1) {
      const userCode = newUserCode();
      const [userCodeHmac] = hmacs(userCode);
      const code = { digest: digestOfCode(deviceCode), userCodeHmac, clientId: client.id, ...requested };
      const isInserted = await store.insert({ ...code, lifetimeSeconds, intervalSeconds: pollIntervalSeconds });
      if (isInserted === undefined) throw new Problem("invalid-client");
      if (isInserted) return { deviceCode, userCode, expiresInSeconds: lifetimeSeconds };
    }
    throw new Error("no unused user code was found");
  }

  /**
   * @param text what a signed-in user has typed, or the link contains
   * @returns the request; `undefined` for a wrong code, which counts as a guess
   * @throws {Problem} `too-many-requests`
   */
  async function find({ userId }: Pick<Caller, "userId">, text: string): Promise<DeviceRequest | undefined> {
    const release = await limits.userCodes(userId);
    const userCode = parseUserCode(text);
    const request = userCode === undefined ? undefined : await store.findPending(hmacs(userCode));
    if (request) await release();
    return request;
  }

  /**
   * Allows or denies what a device asks for, once.
   * @param shownScopes those that the user has seen. A role may have added others since
   * @returns the request; `undefined` as for `find`, and if the user's credentials are no longer valid
   * @throws {Problem} `too-many-requests`
   */
  async function decide(
    user: SignedInUser,
    text: string,
    { decision, shownScopes }: { decision: DeviceDecision["decision"]; shownScopes: readonly string[] },
  ): Promise<DeviceRequest | undefined> {
    const release = await limits.userCodes(user.userId);
    const userCode = parseUserCode(text);
    if (userCode === undefined) return undefined;
    const request = await store.findPending(hmacs(userCode));
    if (!request) return undefined;
    const shown = request.scopes.filter((scope) => shownScopes.includes(scope));
    const held = heldScopes(await access.rightsOf(user.userId), shown);
    const decided = await store.decide(hmacs(userCode), { ...user, decision, held, grantId: grantId(uuidv7()) });
    if (!decided) return undefined;
    const { clientId, audience, scopes } = decided;
    audit("device-decided", { userId: user.userId, clientId, audience, scope: scopes.join(" "), reason: decision });
    await release();
    return decided;
  }

  return { start, find, decide };
}
