/** The kinds of values that settings have. */
import { z } from "zod";

export type Setting = {
  /** The default; `undefined` if there is none. */
  fallback: string | undefined;
  /** The allowed values, for messages and the help; without a full stop. */
  allowed: string;
  help: string;
  /** Messages do not repeat the value. */
  secret?: true;
  /**
   * A misspelled name prevents the start: the service would store data elsewhere, or trust or encrypt less than intended. For
   * other settings it is a warning.
   */
  critical?: true;
  schema: z.ZodType<unknown, string>;
};

export const daySeconds = 86_400;

export const wholeNumber = (minimum: number, maximum: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .pipe(z.number().int().min(minimum).max(maximum));

/** The part of a setting whose value is a whole number. */
export const between = (minimum: number, maximum: number) => ({
  allowed: `a whole number from ${minimum} to ${maximum}`,
  schema: wholeNumber(minimum, maximum),
});

/** The part of a setting that is on or off. */
export const onOrOff = {
  allowed: "on or off",
  schema: z.enum(["on", "off"]).transform((value) => value === "on"),
};

export const httpUrl = (value: string) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url && (url.protocol === "http:" || url.protocol === "https:") ? url : undefined;
};

export const hostName = z.string().regex(/^[\w.:-]+$/);

export const commaSeparated = (isAllowed: (item: string) => boolean) =>
  z
    .string()
    .transform((value) => value.split(",").map((item) => item.trim()))
    .refine((items) => items.every(isAllowed));

/** A random key, with or without the line break that a file or a shell has added. */
export const secretKey = z.string().refine((value) => {
  const key = withoutLineBreak(value);
  return key.length >= 32 && new Set(key).size >= 10;
});

export const secretKeyAllowed =
  "at least 32 random characters; make one with: node -e \"console.log(require('node:crypto').randomBytes(32).toString('base64'))\"";

/** The line break at the end of a file is not part of the value: `$(cat file)` removes it, a Kubernetes secret keeps it. */
export const withoutLineBreak = (value: string): string => value.replace(/[\r\n]+$/, "");

/** @returns advice on a common mistake in a value that is not allowed, without the value; empty if there is none */
export function hint(value: string, isAllowed: (value: string) => boolean): string {
  const [, quoted] = /^(["'])(?:.*)\1$/s.exec(value.trim()) ?? [];
  if (quoted) return " Remove the quotation marks: they are part of the value.";
  if (value.trim() !== value) return " Remove the white space around it.";
  if (isAllowed(value.toLowerCase())) return " Write it in lower case.";
  if (value.split(",").some((item) => /\/\s*$/.test(item)) && isAllowed(value.replace(/\/+(?=\s*(?:,|$))/g, "")))
    return " Remove the slash at the end.";
  if (/^\d+(?:[._]\d+)? *[a-z]+$/i.test(value)) return " Write the number alone, without a unit.";
  if (/^(?:true|yes|1|enabled?)$/i.test(value) && isAllowed("on")) return " Write on.";
  if (/^(?:false|no|0|disabled?)$/i.test(value) && isAllowed("off")) return " Write off.";
  if (value.startsWith("tcp://"))
    return " Kubernetes sets it for a Service of that name: use enableServiceLinks: false.";
  return "";
}
