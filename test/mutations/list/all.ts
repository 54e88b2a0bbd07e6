/** Every deliberate fault, by area. */
import type { Mutation } from "../mutation.ts";
import { access } from "./access.ts";
import { administration } from "./administration.ts";
import { apiKeys } from "./apiKeys.ts";
import { authorization } from "./authorization.ts";
import { client } from "./client.ts";
import { clients } from "./clients.ts";
import { contract } from "./contract.ts";
import { contractGuard } from "./contractGuard.ts";
import { database } from "./database.ts";
import { documentation } from "./documentation.ts";
import { dpop } from "./dpop.ts";
import { forwardAuth } from "./forwardAuth.ts";
import { http } from "./http.ts";
import { imports } from "./imports.ts";
import { keys } from "./keys.ts";
import { oauth } from "./oauth.ts";
import { oauthAttacks } from "./oauthAttacks.ts";
import { oauthLibraries } from "./oauthLibraries.ts";
import { openid } from "./openid.ts";
import { pages } from "./pages.ts";
import { probe } from "./probe.ts";
import { program } from "./program.ts";
import { requests } from "./requests.ts";
import { revocationFeed } from "./revocationFeed.ts";
import { rights } from "./rights.ts";
import { sessions } from "./sessions.ts";
import { settings } from "./settings.ts";
import { tokens } from "./tokens.ts";
import { unicode } from "./unicode.ts";
import { users } from "./users.ts";
import { verify } from "./verify.ts";

export const mutations: readonly Mutation[] = [
  ...contract,
  ...clients,
  ...access,
  ...rights,
  ...forwardAuth,
  ...pages,
  ...administration,
  ...requests,
  ...documentation,
  ...http,
  ...users,
  ...unicode,
  ...sessions,
  ...tokens,
  ...revocationFeed,
  ...imports,
  ...keys,
  ...apiKeys,
  ...database,
  ...settings,
  ...program,
  ...oauth,
  ...oauthAttacks,
  ...authorization,
  ...openid,
  ...dpop,
  ...oauthLibraries,
  ...probe,
  ...client,
  ...verify,
  ...contractGuard,
];
