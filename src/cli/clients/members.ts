/** The options of `latchkey clients` that describe a client. */
import { InvalidArgumentError } from "@commander-js/extra-typings";
import type { components } from "../../../generated/openapi.ts";
import { deviceCodeGrant } from "../../clients/grantTypes.ts";
import { InputError } from "../../errors.ts";
import { readText } from "../input.ts";

type ChangeBody = components["schemas"]["ClientChange"];
type GrantType = components["schemas"]["GrantTypes"][number];

/** The lists that can be emptied. */
export const clearable = ["redirect-uris", "post-logout-redirect-uris", "scopes", "audiences"] as const;

type MemberOptions = {
  grant?: GrantType[] | undefined;
  redirectUri?: string[] | undefined;
  postLogoutRedirectUri?: string[] | undefined;
  scope?: string[] | undefined;
  audience?: string[] | undefined;
  firstParty?: boolean | undefined;
  jwks?: string | undefined;
  jwksUri?: string | undefined;
  logoUri?: string | undefined;
  clientUri?: string | undefined;
  policyUri?: string | undefined;
  tosUri?: string | undefined;
};

/** The members that options give, as in the contract. */
export async function membersOf(options: MemberOptions) {
  const members = {
    grant_types: options.grant,
    redirect_uris: options.redirectUri,
    post_logout_redirect_uris: options.postLogoutRedirectUri,
    scopes: options.scope,
    audiences: options.audience,
    first_party: options.firstParty,
    jwks: options.jwks === undefined ? undefined : await readJwks(options.jwks),
    jwks_uri: options.jwksUri,
    logo_uri: options.logoUri,
    client_uri: options.clientUri,
    policy_uri: options.policyUri,
    tos_uri: options.tosUri,
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as ChangeBody;
}

async function readJwks(file: string): Promise<NonNullable<ChangeBody["jwks"]>> {
  try {
    return JSON.parse(await readText(file));
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    throw new InputError(`${file} is not JSON.`, { cause });
  }
}

const grants: Record<string, GrantType> = {
  authorization_code: "authorization_code",
  client_credentials: "client_credentials",
  refresh_token: "refresh_token",
  device_code: deviceCodeGrant,
  [deviceCodeGrant]: deviceCodeGrant,
};

export function collectGrants(text: string, previous: GrantType[] | undefined): GrantType[] {
  const grant = Object.hasOwn(grants, text) ? grants[text] : undefined;
  if (!grant)
    throw new InvalidArgumentError("Allowed: authorization_code, client_credentials, refresh_token, device_code.");
  return [...(previous ?? []), grant];
}

export function collectCleared(text: string, previous: string[] | undefined): string[] {
  if (!clearable.some((list) => list === text)) throw new InvalidArgumentError(`Allowed: ${clearable.join(", ")}.`);
  return [...(previous ?? []), text];
}
