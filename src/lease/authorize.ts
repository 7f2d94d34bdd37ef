import type { Command } from "./command.ts";
import type { Role } from "./records.ts";

/** Who asks, as its certificate says. */
export interface Asker {
  readonly node: string;
  readonly role: Role;
}

/**
 * Whether a node may put this command into the log. Servers hold the log and the CA key and may do
 * anything; an agent writes only its own lease and its own facts, and raises the alarm.
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
    case "node.readmit":
      return command.node === asker.node && command.role === "agent";
    // Only an agent stands between two clusters that do not know each other.
    case "cluster.fork-seen":
      return true;
    default:
      return false;
  }
}
