/** The settings of the pages that people see. */
import { z } from "zod";
import { httpUrl, onOrOff, type Setting } from "./values.ts";

export const pageSettings = {
  PAGES_NAME: {
    fallback: "Latchkey",
    allowed: "1 to 64 characters",
    help: "Name of the service on the pages for sign-in and consent.",
    schema: z
      .string()
      .min(1)
      .max(64)
      .regex(/^[^\p{Cc}\p{Cs}]+$/u),
  },
  PAGES_LOGO_URL: {
    fallback: undefined,
    allowed: "an https URL of at most 512 characters",
    help: "URL of a logo, which the pages show instead of PAGES_NAME. Browsers load it from there.",
    schema: z
      .string()
      .max(512)
      .refine((value) => httpUrl(value)?.protocol === "https:" && !/[\s"'<>;,@]/.test(value)),
  },
  PAGES_COLOR: {
    fallback: "#0f766e",
    allowed: "# and six hexadecimal digits",
    help: "Color of the buttons on the pages. Their text is black or white, whichever is easier to read.",
    schema: z.string().regex(/^#[0-9a-fA-F]{6}$/),
  },
  PAGES_REGISTRATION: {
    fallback: "off",
    ...onOrOff,
    critical: true,
    help: "Whether people can register on the page /oauth/sign-up. It requires REGISTRATION=open.",
  },
} as const satisfies Record<string, Setting>;
