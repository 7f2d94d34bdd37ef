/**
 * Base 32 for people: digits and lower case without i, l, o and u, as Douglas Crockford wrote it
 * down. When read, upper case is fine, i and l are 1, o is 0; u stays wrong.
 */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

const VALUES: ReadonlyMap<string, number> = new Map([
  ...[...ALPHABET].map((letter, value) => [letter, value] as const),
  ["i", 1],
  ["l", 1],
  ["o", 0],
]);

export function encodeCrockford(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += ALPHABET[(held >> (bits - 5)) & 31];
    held &= 31;
  }
  return bits === 0 ? text : text + ALPHABET[(held << (5 - bits)) & 31];
}

/** `undefined` for anything but the text of exactly `byteCount` bytes: one value, one spelling. */
export function decodeCrockford(text: string, byteCount: number): Uint8Array | undefined {
  if (text.length !== Math.ceil((byteCount * 8) / 5)) return undefined;
  const bytes = new Uint8Array(byteCount);
  let filled = 0;
  let bits = 0;
  let held = 0;
  for (const letter of text.toLowerCase()) {
    const value = VALUES.get(letter);
    if (value === undefined) return undefined;
    held = (held << 5) | value;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes[filled++] = held >> bits;
    held &= (1 << bits) - 1;
  }
  return held === 0 ? bytes : undefined;
}
