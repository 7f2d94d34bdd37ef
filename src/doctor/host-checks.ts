/** The machine itself: rights, ports, clock, disk, and who else is here. */
import type { Facts } from "./facts.ts";
import { type Finding, ok } from "./finding.ts";

const MIB = 1024 * 1024;
/** A leader that waits longer for its disk is taken for a dead one now and then. */
const SYNC_SLOW_MS = 50;
/** The first day on which this program existed. */
const EARLIEST_WALL_MS = Date.UTC(2026, 0, 1);

export function checkHost(facts: Facts): Finding[] {
  return [rights(facts), ...ports(facts), clock(facts), disk(facts), ...rivals(facts)];
}

function rights({ mayProgram }: Facts): Finding {
  if (mayProgram) return ok("rights", "may change this host's network");
  return {
    ...{ check: "rights", result: "failed", found: "no CAP_NET_ADMIN" },
    why: "not a single route could be programmed",
    fix: "run it as root, or in a container with --cap-add NET_ADMIN",
  };
}

function ports({ ports, daemon }: Facts): Finding[] {
  return ports.map(({ what, port, error }): Finding => {
    const check = `port-${port}`;
    if (daemon !== undefined) return ok(check, `the daemon has it: ${what}`);
    if (error === undefined) return ok(check, `free: ${what}`);
    return {
      ...{ check, result: "failed", found: `taken: ${what}`, why: error },
      fix: `find out who listens there (ss -ltnp 'sport = :${port}'), or use another port`,
    };
  });
}

function clock({ clock: { wallMs, synchronized } }: Facts): Finding {
  const found = new Date(wallMs).toISOString();
  if (wallMs < EARLIEST_WALL_MS) {
    return {
      ...{ check: "clock", result: "failed", found },
      why: "it is older than this program: every certificate would be refused",
      fix: "set it: timedatectl set-ntp true",
    };
  }
  if (synchronized !== false) return ok("clock", found);
  return {
    ...{ check: "clock", result: "note", found: `${found}, and nobody keeps it right` },
    why: "leases do not need it, certificates do: a clock an hour behind refuses new ones",
    fix: "timedatectl set-ntp true, or install chrony",
  };
}

function disk({ disk: { folder, freeBytes, lowBytes, syncMs, isMemory } }: Facts): Finding {
  const sync = syncMs === undefined ? "" : `, ${syncMs.toFixed(1)} ms to be safe`;
  const found = `${Math.floor(freeBytes / MIB)} MiB free at ${folder}${sync}`;
  if (isMemory) {
    return {
      ...{ check: "disk", result: "warning", found: `${found}, in memory only` },
      why: "identity, lease and log are gone with the next start of this machine",
      fix: "put --state-dir on a disk",
    };
  }
  if (freeBytes < lowBytes) {
    return {
      ...{ check: "disk", result: "warning", found },
      why: `a server with less than ${lowBytes / MIB} MiB gives its place to another`,
      fix: `make room at ${folder}, or lower --disk-low`,
    };
  }
  if (syncMs === undefined || syncMs < SYNC_SLOW_MS) return ok("disk", found);
  return {
    ...{ check: "disk", result: "warning", found },
    why: "a server acknowledges nothing before it is safe on disk: this one is slow",
    fix: "put --state-dir on a faster disk, or let this host be an agent",
  };
}

function rivals({ rivals }: Facts): Finding[] {
  if (rivals.length === 0) return [];
  return [{
    ...{ check: "rivals", result: "warning", found: rivals.join(", ") },
    why: "two programs that give containers a network write the same subnet.env and routes",
    fix: "stop and disable the other one, or give it another network and --subnet-file",
  }];
}
