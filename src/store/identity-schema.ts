/** What the plain files of a node's identity hold. Times are wall clock unless they say boot. */
import * as v from "valibot";

const text = v.pipe(v.string(), v.minLength(1));
const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const epoch = v.object({ n: whole, random: text });

const node = v.object({
  nodeId: text,
  name: text,
  clusterId: text,
  epoch,
  role: v.picklist(["server", "agent"]),
  createdAtMs: whole,
});

/** The last answer about the own lease: enough to know it, and to fence, without a cluster. */
const lease = v.object({
  /** One prefix per address family, IPv4 first. */
  subnets: v.array(text),
  revision: whole,
  epoch,
  ttlMs: whole,
  /** When the request that was answered left, on both clocks and in which boot. */
  sent: v.object({ bootMs: v.pipe(v.number(), v.minValue(0)), wallMs: v.number(), bootId: text }),
});

/** The last time that this node is known to have lived; time that went backwards is found by it. */
const boot = v.object({ bootId: text, atMs: whole, atBootMs: v.pipe(v.number(), v.minValue(0)) });

/** What this data directory ever programmed: only inside these networks is a route ours. */
const programmed = v.object({ epoch, revision: whole, networks: v.array(text) });

const invocation = v.object({
  name: text,
  argv: v.pipe(v.array(v.string()), v.minLength(1)),
  env: v.record(v.string(), v.string()),
  input: v.string(),
  timeoutMs: whole,
});

/** What programs of this host have added for subnets, and how it is removed. */
const hooks = v.object({
  hooks: v.array(v.object({
    ...{ key: text, own: v.boolean(), remove: invocation },
    add: v.optional(invocation),
  })),
});

/** Whom to ask: the servers as last heard, and the addresses given by hand. */
const servers = v.object({
  members: v.array(v.object({ nodeId: text, name: text, addresses: v.array(text) })),
  seeds: v.array(text),
});

/** Hex of 32 bytes; each backend gets its own secret derived from it. */
const secret = v.object({ seed: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) });

export const IDENTITY_SCHEMAS = { node, lease, boot, programmed, hooks, servers, secret };

export type IdentityKind = keyof typeof IDENTITY_SCHEMAS;
export type IdentityRecord<Kind extends IdentityKind> = v.InferOutput<
  (typeof IDENTITY_SCHEMAS)[Kind]
>;
export type NodeRecord = IdentityRecord<"node">;
export type LeaseRecord = IdentityRecord<"lease">;
export type BootRecord = IdentityRecord<"boot">;
export type ProgrammedRecord = IdentityRecord<"programmed">;
export type ServersRecord = IdentityRecord<"servers">;
