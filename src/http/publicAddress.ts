import ipaddr from "ipaddr.js";

/**
 * Whether an address is public. Not public are the addresses of this machine, of private and local networks and of cloud metadata
 * services (169.254.169.254, fd00:ec2::254), and all IPv6 addresses that represent IPv4 addresses (IPv4-mapped, NAT64, 6to4, Teredo).
 */
export function isPublicAddress(address: string): boolean {
  if (ipaddr.IPv4.isValidFourPartDecimal(address)) {
    const ipv4 = ipaddr.IPv4.parse(address);
    return ipv4.range() === "unicast" && !ipv4.match(benchmarks);
  }
  if (!ipaddr.IPv6.isValid(address)) return false;
  const ipv6 = ipaddr.IPv6.parse(address);
  return ipv6.range() === "unicast" && ipv6.match(assigned) && !ipv6.match(protocols);
}

/** Special networks that ipaddr.js regards as public (RFC 2544, RFC 6890). */
const benchmarks = ipaddr.IPv4.parseCIDR("198.18.0.0/15");
const protocols = ipaddr.IPv6.parseCIDR("2001::/23");
/** The addresses that are assigned so far (RFC 4291, section 2.4). Others may represent IPv4 addresses. */
const assigned = ipaddr.IPv6.parseCIDR("2000::/3");
