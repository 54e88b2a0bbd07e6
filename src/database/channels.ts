/** The channels of LISTEN and NOTIFY, all in one place. Triggers notify them: see the migrations that create these. */
export const channels = {
  /** After each insertion into `revocations`. */
  revocations: "latchkey_revocations",
  /** After each change of `signing_keys`. */
  signingKeys: "latchkey_signing_keys",
} as const;

export type Channel = (typeof channels)[keyof typeof channels];
