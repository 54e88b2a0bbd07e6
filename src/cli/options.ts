/** Options that many commands have. */
import { InvalidArgumentError } from "@commander-js/extra-typings";
import { isDateTime } from "../lib/dateTime.ts";
import { isUuid } from "./account.ts";

/** The value of `--limit`. */
export function parseLimit(text: string): number {
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (limit < 1) throw new InvalidArgumentError("Allowed: a whole number from 1 to 999999999.");
  return limit;
}

export const optionTexts = {
  json: "print JSON, one object per line",
  limit: "print no more than this number",
  after: "continue after a list that --limit has ended",
  name: "username or user id",
  passwordStdin: "read the password from the first line of standard input",
  yes: "do not ask for confirmation",
};

/** For an option that may be repeated. */
export const collect = (value: string, previous: string[] | undefined): string[] => [...(previous ?? []), value];

/** A UUID. */
export function parseId(text: string): string {
  if (!isUuid(text)) throw new InvalidArgumentError("It is not a UUID.");
  return text.toLowerCase();
}

export function parseSeconds(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It must be a whole number of seconds.");
  return Number(text);
}

/** A date stands for its beginning in UTC. */
export function parseTime(text: string): Date {
  const time = text.includes("T") ? text : `${text}T00:00:00Z`;
  if (!isDateTime(time)) throw new InvalidArgumentError("It must be a date, or a time with its zone.");
  return new Date(time);
}
