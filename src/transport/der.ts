/** One value of DER (ITU-T X.690): its tag and where its content lies. */
export interface DerValue {
  readonly tag: number;
  readonly content: Uint8Array;
  /** The value itself: tag, length and content. */
  readonly whole: Uint8Array;
  /** Whatever follows the value. */
  readonly rest: Uint8Array;
}

export const DER = {
  boolean: 0x01,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  sequence: 0x30,
  /** `[n]`, holding other values. */
  context: (n: number) => 0xa0 | n,
  /** `[n]`, holding bytes. */
  contextBytes: (n: number) => 0x80 | n,
} as const;

/** The first value of the bytes; `undefined` where there is none, or one that DER does not allow. */
export function readDer(bytes: Uint8Array): DerValue | undefined {
  const [tag, first] = bytes;
  // Tags of more than one byte do not occur in what is read here.
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return undefined;
  let [start, length] = [2, first];
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 4 || bytes.length < 2 + count) return undefined;
    start += count;
    length = bytes.subarray(2, start).reduce((sum, byte) => sum * 256 + byte, 0);
    const shortest = length >= 0x80 && bytes[2] !== 0;
    if (!shortest) return undefined;
  }
  const end = start + length;
  if (end > bytes.length) return undefined;
  const [content, whole] = [bytes.subarray(start, end), bytes.subarray(0, end)];
  return { tag, content, whole, rest: bytes.subarray(end) };
}

/** All values in a row; `undefined` where the bytes are not a whole number of them. */
export function readAllDer(bytes: Uint8Array): DerValue[] | undefined {
  const values: DerValue[] = [];
  for (let rest = bytes; rest.length > 0;) {
    const value = readDer(rest);
    if (value === undefined) return undefined;
    values.push(value);
    rest = value.rest;
  }
  return values;
}
