import type { Canonical } from "../base/canonical.ts";
import { assert, DenimError } from "../base/errors.ts";
import type { CommandKind, CommandOf } from "./command.ts";
import { clusterOf, type Context } from "./context.ts";
import { refuseOnHold } from "./hold.ts";
import { type FeatureRange, SINGLE, type StateRecord } from "./records.ts";
import { type StateReader, theCluster } from "./state.ts";

/**
 * The levels of the replicated state that this program can work with. A cluster has one level at a
 * time; whatever would be read differently by an older program comes with a higher one.
 */
export const FEATURES: FeatureRange = { min: 1, max: 1 };

/** From which level on a command may be in the log; `offline`: it never comes through one. */
const LEVELS: Readonly<Record<CommandKind, number | "offline">> = {
  ...{ "cluster.init": "offline", "cluster.reform": "offline" },
  ...{ "cluster.release-hold": 1, "cluster.fork-seen": 1, "cluster.raise-level": 1 },
  "cluster.set-voters": 1,
  "network.set": 1,
  ...{ "node.join": 1, "node.readmit": 1, "node.rejoin": 1, "node.leave": 1, "node.remove": 1 },
  ...{ "node.update": 1, "node.prefer": 1, "node.silent": 1 },
  ...{ "lease.acquire": 1, "lease.renew": 1, "lease.claim": 1, "lease.release": 1 },
  ...{ "lease.expire": 1, "lease.move": 1 },
  ...{ "token.create": 1, "token.revoke": 1 },
  ...{ "ca.add": 1, "ca.use": 1, "ca.drop": 1, "ca.leave-silent": 1 },
  ...{ "reservation.put": 1, "reservation.remove": 1 },
  ...{ "check": 1, "tick": 1 },
};

/**
 * To be asked before a command goes into the log: once it is there, a replica that does not know
 * it has to stop.
 *
 * @throws `REQUEST_INVALID` `UPGRADE_NEEDED`
 */
export function refuseForLevel(state: StateReader, kind: CommandKind): void {
  const level = Object.hasOwn(LEVELS, kind) ? LEVELS[kind] : undefined;
  const present = theCluster(state)?.featureLevel ?? FEATURES.min;
  if (level === undefined || level === "offline") {
    throw new DenimError("REQUEST_INVALID", `"${kind}" cannot be proposed`, {
      why: level === undefined ? "this server does not know it" : "it is made offline only",
    });
  }
  if (level <= present) return;
  throw new DenimError("UPGRADE_NEEDED", `"${kind}" needs feature level ${level}`, {
    why: `the cluster is at ${present}, so that older programs can read its log`,
    fix: "upgrade every node, then raise the cluster's level",
  });
}

/** @throws `UPGRADE_NEEDED` if this program must not touch a state of that level */
export function requireLevel(level: number, features = FEATURES): void {
  if (supports(features, level)) return;
  const older = level > features.max;
  throw new DenimError("UPGRADE_NEEDED", `The cluster is at feature level ${level}`, {
    why: `this program supports ${features.min} to ${features.max}`,
    fix: older ? "run a newer Denim here" : "run the Denim that was here before, and finish " +
      "the cluster's upgrade with it first",
  });
}

/** The same for a stored state. @throws `UPGRADE_NEEDED` */
export function requireLevelOf(records: Iterable<StateRecord>): void {
  for (const record of records) {
    if (record.table === "cluster") requireLevel(record.body.featureLevel);
  }
}

export function supports({ min, max }: FeatureRange, level: number): boolean {
  return min <= level && level <= max;
}

/** Conditional on what every member has said that it supports. */
export function raiseLevel(context: Context, command: CommandOf<"cluster.raise-level">): Canonical {
  const { draft } = context;
  const { to } = command;
  const cluster = clusterOf(context);
  if (to === cluster.featureLevel) return { level: to };
  refuseOnHold(context, "The feature level cannot be raised now");
  const behind = [...draft.all("node")].filter(({ body }) => !supports(body.features, to));
  if (to < cluster.featureLevel || behind.length > 0) {
    const names = behind.map(({ body }) => body.name).sort().slice(0, 3);
    throw new DenimError("UPGRADE_NEEDED", `The cluster cannot go to feature level ${to}`, {
      why: to < cluster.featureLevel
        ? `it is at ${cluster.featureLevel}, and a level is never taken back`
        : `${behind.length} nodes do not support it, for example ${names.join(", ")}`,
      fix: "upgrade every node first: denim node list shows their versions",
    });
  }
  // A program that was exchanged for an older one meanwhile must not go on.
  assert(supports(FEATURES, to), `feature level ${to}: this program supports ${FEATURES.max}`);
  draft.put("cluster", SINGLE, { ...cluster, featureLevel: to });
  return { level: to };
}
