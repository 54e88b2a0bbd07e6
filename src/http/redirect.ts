/** A response that browsers follow with a GET, without sending a form again (RFC 9700, section 4.12). */
export const seeOther = (location: string, cookie?: string) => ({
  status: 303 as const,
  headers: { Location: location, ...(cookie !== undefined && { "Set-Cookie": cookie }) },
});
