import { crc32 } from "node:zlib";
import { DenimError } from "../base/errors.ts";

/**
 * A stored value is `crc text`: eight hex digits, a blank, JSON. LevelDB is not trusted to notice a
 * flipped bit (it returns wrong bytes without an error, measured). The checksum covers the key too,
 * so that a value cannot stand under another one's name.
 */
export function encodeValue(key: string, value: unknown): string {
  const text = JSON.stringify(value);
  return `${checksum(key, text)} ${text}`;
}

/** @throws `STORE_DAMAGED` naming the key */
export function decodeValue(key: string, stored: string): unknown {
  const text = stored.slice(9);
  if (stored[8] !== " " || stored.slice(0, 8) !== checksum(key, text)) {
    throw damaged(`the checksum of "${key}" is wrong`);
  }
  return JSON.parse(text);
}

export function damaged(why: string): DenimError {
  return new DenimError("STORE_DAMAGED", "The store is damaged", {
    why,
    fix: "start the daemon again: it sets the store aside and comes back as the node that it is, " +
      "once a majority of the other voters agrees. By hand: denim rejoin HOST",
  });
}

function checksum(key: string, text: string): string {
  return crc32(`${key}\0${text}`).toString(16).padStart(8, "0");
}
