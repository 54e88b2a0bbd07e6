/** Every deliberate fault, by area. */
import type { Mutation } from "../mutation.ts";
import { contract } from "./contract.ts";
import { database } from "./database.ts";
import { http } from "./http.ts";
import { program } from "./program.ts";
import { sessions } from "./sessions.ts";
import { users } from "./users.ts";

export const mutations: readonly Mutation[] = [...contract, ...http, ...users, ...sessions, ...database, ...program];
