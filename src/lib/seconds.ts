/** @returns a time as a NumericDate (RFC 7519, section 2): whole seconds since 1970 */
export const secondsOf = (time: Date): number => Math.floor(time.getTime() / 1000);
