/** Chance as a parameter, so that a run can be replayed from its seed. */
export interface Random {
  /** A whole number in `[0, limit)`; `limit` is at most 2^32. */
  below(limit: number): number;
  /** A number in `[0, 1)`. */
  fraction(): number;
  /** Bytes for names, ids and secrets. */
  bytes(count: number): Uint8Array;
}

/** Chance from the operating system: for ids, keys, secrets and jitter. */
export function systemRandom(): Random {
  const words = new Uint32Array(2);
  return fromWords(() => {
    crypto.getRandomValues(words);
    return words[0]!;
  }, (count) => crypto.getRandomValues(new Uint8Array(count)));
}

/** Chance from a seed: sfc32 (public domain, Chris Doty-Humphrey). The same seed, the same run. */
export function seededRandom(seed: number): Random {
  let [a, b, c, d] = [0x9e3779b9, 0x243f6a88, 0xb7e15162, (seed >>> 0) ^ 0xdeadbeef];
  const next = () => {
    const sum = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return sum >>> 0;
  };
  for (let round = 0; round < 15; round++) next();
  return fromWords(next, (count) => Uint8Array.from({ length: count }, () => next() & 0xff));
}

function fromWords(word: () => number, bytes: (count: number) => Uint8Array): Random {
  return {
    below: (limit) => Math.floor((word() / 2 ** 32) * limit),
    fraction: () => word() / 2 ** 32,
    bytes,
  };
}
