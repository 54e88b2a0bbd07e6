/**
 * All texts of the pages. To translate the pages, translate this file. Functions receive the values that their text contains. The
 * texts are escaped, and cannot contain markup.
 */
import type { ProblemSlug } from "../problems/catalogue.ts";

export const texts = {
  /** A language tag of BCP 47. */
  language: "en",
  /** Before the title of a page that shows an error, so that screen readers announce the error first. */
  errorTitle: (title: string) => `Error: ${title}`,

  username: "Username",
  password: "Password",
  newPasswordHint: "Use a long password, for example three or four unrelated words.",

  signIn: {
    title: "Sign in",
    /** `client`: the name of the application that the user came from. */
    to: (client: string) => `to continue to ${client}`,
    sameAccount: "Use the account that you have used there before.",
    submit: "Sign in",
    toSignUp: "Create an account",
    wrong: "The username or password is wrong.",
  },

  signUp: {
    title: "Create an account",
    submit: "Create account",
    toSignIn: "Sign in with an existing account",
    taken: "This username is taken. Choose another one.",
    invalid: (part: string, detail: string) => `The ${part} ${detail}.`,
  },

  consent: {
    title: (client: string) => `Allow ${client}?`,
    /** `host`: where the user returns to. */
    asks: (client: string, host: string) => `${client} at ${host} asks for access to your account.`,
    scopes: "It will be able to:",
    noScopes: "It will learn that you have an account, your user id and your username.",
    api: (api: string) => `This is for ${api}.`,
    allow: "Allow",
    deny: "Deny",
    revocable: "You can end this access at any time.",
    policy: "Privacy policy",
    terms: "Terms of service",
  },

  device: {
    title: "Connect a device",
    label: "Code",
    hint: "Enter the code that your device shows.",
    submit: "Continue",
    wrong: "This code is wrong or has expired.",
    confirmTitle: (client: string) => `Connect ${client}?`,
    warning: "Continue only if you started this on your own device, and it shows the same code.",
    code: "Code:",
    allow: "Connect",
    deny: "Cancel",
    allowedTitle: "The device is connected",
    allowed: "You can close this page and return to your device.",
    deniedTitle: "The device was not connected",
    denied: "You can close this page.",
  },

  signOut: {
    title: "Sign out",
    question: (username: string) => `You are signed in as ${username}.`,
    submit: "Sign out",
    doneTitle: "You are signed out",
    done: "You can close this page.",
    elsewhere: "Applications that you have used may keep you signed in.",
  },

  signedInAs: (username: string) => `Signed in as ${username}.`,
  otherAccount: "Use another account",

  expired: {
    title: "This page has expired",
    text: "Return to the application that you came from, and start again.",
  },

  problems: {
    "invalid-request": {
      title: "The link is not valid",
      text: "Return to the page that you came from, and start again.",
    },
    "authentication-required": { title: "You are signed out", text: "Sign in, and start again." },
    "cross-site-request": {
      title: "The form was not accepted",
      text: "It was sent by a page of another site. Nothing has changed.",
    },
    "not-found": { title: "There is no such page", text: "Check the address." },
    "too-many-requests": { title: "Too many attempts", text: "What you have entered was not checked." },
    "not-acceptable": { title: "The page cannot be shown", text: "Your program does not accept HTML." },
    "request-timeout": { title: "The form did not arrive in time", text: "Send it again." },
    "payload-too-large": { title: "The form is too large", text: "Send a shorter one." },
    "unsupported-media-type": { title: "The form cannot be read", text: "Your program does not send a form." },
  } satisfies Partial<Record<ProblemSlug, { title: string; text: string }>>,
  unavailable: { title: "The service is not available", text: "Try again in a few seconds." },
  failure: { title: "Something went wrong", text: "Try again. If it happens again, report this reference." },
  /** Parts of a request that have no name, or whose name is not shown. */
  form: "The form",
  parameter: "A parameter",
  reference: (id: string) => `Reference: ${id}`,
  retryAfter: (seconds: number) =>
    seconds < 120 ? `Try again in ${seconds} seconds.` : `Try again in ${Math.ceil(seconds / 60)} minutes.`,
};
