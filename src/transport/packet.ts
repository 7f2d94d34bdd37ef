import { DenimError, type ErrorJson } from "../base/errors.ts";

/**
 * What travels on a channel. `id` belongs to the side that asked: `ask`, `open` and `cancel` carry
 * the sender's number, `answer`, `failure`, `item` and `end` the receiver's.
 */
export type Packet =
  | { readonly t: "ask"; readonly id: number; readonly kind: string; readonly body?: unknown }
  | { readonly t: "answer"; readonly id: number; readonly body?: unknown }
  | { readonly t: "failure"; readonly id: number; readonly error: ErrorJson }
  | { readonly t: "tell"; readonly kind: string; readonly body?: unknown }
  | { readonly t: "open"; readonly id: number; readonly kind: string; readonly body?: unknown }
  | { readonly t: "item"; readonly id: number; readonly body?: unknown }
  | { readonly t: "end"; readonly id: number; readonly error?: ErrorJson }
  | { readonly t: "cancel"; readonly id: number }
  | { readonly t: "ping"; readonly id: number }
  | { readonly t: "pong"; readonly id: number };

const WITH_ID = new Set(["ask", "answer", "failure", "open", "item", "end", "cancel"])
  .add("ping").add("pong");
const WITH_KIND = new Set(["ask", "tell", "open"]);

/** Throws `PROTOCOL` on anything else than a packet; bodies and errors are judged by their readers. */
export function readPacket(message: unknown): Packet {
  const packet = (message ?? {}) as { t?: unknown; id?: unknown; kind?: unknown };
  const type = typeof packet.t === "string" ? packet.t : "";
  const fine = (WITH_ID.has(type) || WITH_KIND.has(type)) &&
    (!WITH_ID.has(type) || (Number.isSafeInteger(packet.id) && Number(packet.id) > 0)) &&
    (!WITH_KIND.has(type) || typeof packet.kind === "string");
  if (!fine) {
    throw new DenimError("PROTOCOL", "The connection carried something that is not Denim's", {
      why: `a message of type "${type.slice(0, 20)}" is not one of a channel's`,
    });
  }
  return packet as Packet;
}
