import type { AuthenticateClient } from "../../clients/authentication.ts";
import type { GuardingHandler } from "../../openapi/binding.ts";
import { type DeviceCodes, pollIntervalSeconds } from "./deviceCodes.ts";
import { formatUserCode } from "./userCodes.ts";

type Parts = {
  authenticateClient: AuthenticateClient;
  deviceCodes: Pick<DeviceCodes, "start">;
  issuer: string;
};

export const startDeviceAuthorization = ({
  authenticateClient,
  deviceCodes,
  issuer,
}: Parts): GuardingHandler<"startDeviceAuthorization"> => ({
  async guardAndHandle({ body }, authorization) {
    const client = await authenticateClient({ authorization, parameters: body });
    const started = await deviceCodes.start(client, body);
    const userCode = formatUserCode(started.userCode);
    const verificationUri = `${issuer}/oauth/device`;
    return {
      status: 200,
      body: {
        device_code: started.deviceCode,
        user_code: userCode,
        verification_uri: verificationUri,
        verification_uri_complete: `${verificationUri}?user_code=${userCode}`,
        expires_in: started.expiresInSeconds,
        interval: pollIntervalSeconds,
      },
    };
  },
});
