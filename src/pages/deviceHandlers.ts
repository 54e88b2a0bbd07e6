/** The page where a user enters the code of a device, and decides (RFC 8628, section 3.3). */
import type { Access } from "../access/rights.ts";
import { heldScopes } from "../access/rights.ts";
import type { Clients } from "../clients/clients.ts";
import { seeOther } from "../http/redirect.ts";
import type { DescribeAccess } from "../oauth/authorization/describedScopes.ts";
import { signedInUser } from "../oauth/authorization/handlers.ts";
import type { DeviceCodes } from "../oauth/devices/deviceCodes.ts";
import type { DeviceRequest } from "../oauth/devices/storeTypes.ts";
import { formatUserCode, parseUserCode } from "../oauth/devices/userCodes.ts";
import type { Handler } from "../openapi/binding.ts";
import type { BrowserSessions } from "../sessions/browser/browserSessions.ts";
import { browserCookie, browserSecret, formToken, requireToken } from "../sessions/browser/cookies.ts";
import type { BrowserSession } from "../sessions/browser/storeTypes.ts";
import { type FormError, locationOf } from "./forms.ts";
import { withCookie } from "./handlers.ts";
import type { Pages } from "./pages.ts";
import { texts } from "./texts.ts";

export type DevicePageParts = {
  pages: Pages;
  browserSessions: Pick<BrowserSessions, "find">;
  deviceCodes: Pick<DeviceCodes, "find" | "decide">;
  clients: Pick<Clients, "find">;
  access: Pick<Access, "rightsOf">;
  describeAccess: DescribeAccess;
  /** The audience of this service. */
  issuer: string;
};

export const getDevicePage =
  ({ pages, browserSessions }: DevicePageParts): Handler<"getDevicePage"> =>
  async ({ query, cookie }) => {
    const userCode = query?.user_code;
    const session = await browserSessions.find(cookie);
    if (!session) return seeOther(locationOf("sign-in", { userCode }));
    const secret = browserSecret(cookie);
    const page = pages.devicePage({ state: { userCode, token: formToken(secret) }, username: session.username });
    return { status: 200, ...withCookie(page, browserCookie(secret)) };
  };

export const decideDevice =
  (parts: DevicePageParts): Handler<"decideDevice"> =>
  async ({ body: { token, user_code: userCode = "", scope = "", decision }, cookie }) => {
    const { pages, browserSessions, deviceCodes } = parts;
    requireToken(token, cookie);
    const session = await browserSessions.find(cookie);
    if (!session) return seeOther(locationOf("sign-in", { userCode }));
    const { username } = session;
    const request =
      decision === undefined
        ? await deviceCodes.find(session, userCode)
        : await deviceCodes.decide(signedInUser(session), userCode, {
            decision: decision === "allow" ? "allowed" : "denied",
            shownScopes: scope.split(" "),
          });
    if (!request) {
      return { status: 400, ...pages.devicePage({ state: { userCode, token }, username, error: wrongCode }) };
    }
    if (decision === undefined)
      return { status: 200, ...(await confirmPage(parts, { session, request, userCode, token })) };
    const { allowedTitle, allowed, deniedTitle, denied } = texts.device;
    const shown = decision === "allow" ? { title: allowedTitle, text: allowed } : { title: deniedTitle, text: denied };
    return { status: 200, ...pages.messagePage(shown) };
  };

const wrongCode: FormError = { text: texts.device.wrong, problem: "invalid-request", fields: ["code"] };

type Confirmation = { session: BrowserSession; request: DeviceRequest; userCode: string; token: string };

async function confirmPage(
  { pages, clients, access, describeAccess, issuer }: DevicePageParts,
  { session, request, userCode, token }: Confirmation,
) {
  const { userId, username } = session;
  const { clientId, audience, scopes } = request;
  const held = heldScopes(await access.rightsOf(userId), scopes);
  const described = await describeAccess({ audience, scopes: held });
  const client = (await clients.find(clientId)) ?? { name: clientId };
  return pages.deviceConfirmPage({
    client,
    scopes: described.scopes,
    api: audience === issuer ? undefined : (described.apiName ?? audience),
    username,
    state: {
      token,
      userCode: formatUserCode(parseUserCode(userCode) ?? userCode),
      hidden: { scope: held.join(" ") },
    },
  });
}
