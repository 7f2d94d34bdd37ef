/** A link-layer address as `ip` prints it: `02:42:0a:f4:01:00`. Equal ones are equal texts. */
export type Mac = string;

const MAC = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;

const NOBODY = "00:00:00:00:00:00";

/** Every octet as text: thousands of addresses are read at once. */
const OCTETS = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, "0"));

/** Lower case, six octets. */
export function isMac(text: string): boolean {
  return MAC.test(text);
}

/** Of a single station (IEEE 802: the lowest bit of the first octet says so), and not all zero. */
export function isUnicast(mac: Mac): boolean {
  return "02468ace".includes(mac.charAt(1) || "no octet") && mac !== NOBODY;
}

export function macBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(":"), (octet) => Number.parseInt(octet, 16));
}

export function macFromBytes(bytes: Uint8Array): Mac {
  let text = OCTETS[bytes[0]!] ?? "";
  for (let i = 1; i < bytes.length; i++) text += `:${OCTETS[bytes[i]!]}`;
  return text;
}

/**
 * The first six of these bytes as an address of a single station that nobody has been sold: the
 * "locally administered" bit is set (IEEE 802, 8.4). What is random stays as random as 46 bits are.
 */
export function localMac(bytes: Uint8Array): Mac {
  const mac = bytes.slice(0, 6);
  mac[0] = (mac[0]! & 0xfc) | 0x02;
  return macFromBytes(mac);
}
