import type { Command } from "./command.ts";
import type { Role } from "./records.ts";

/** Who asks, as its certificate says. */
export interface Asker {
  readonly node: string;
  readonly role: Role;
}

/**
 * Whether a node may put this command into the log. Servers hold the log and the CA key and may do
 * anything; an agent writes only its own lease and its own facts.
 */
export function mayPropose(command: Command, asker: Asker): boolean {
  if (asker.role === "server") return true;
  switch (command.kind) {
    case "lease.acquire":
    case "lease.renew":
    case "lease.claim":
    case "lease.release":
    case "node.update":
    case "node.leave":
      return command.node === asker.node;
    default:
      return false;
  }
}
