/** All channels of LISTEN and NOTIFY. Triggers, which migrations create, send the notifications. */
export const channels = {
  /** After each insertion into `revocations`. */
  revocations: "latchkey_revocations",
  /** After each change of `signing_keys`. */
  signingKeys: "latchkey_signing_keys",
} as const;

export type Channel = (typeof channels)[keyof typeof channels];
