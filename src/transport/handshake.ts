import * as v from "valibot";
import { type Clock, sleep } from "../base/clock.ts";
import { asDenimError, DenimError, type ErrorJson } from "../base/errors.ts";
import { FRAME_BYTES_PEER } from "./frame.ts";
import type { NodeIdentity } from "./certificate.ts";
import type { Wire } from "./wire.ts";

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(128));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const protocol = v.object({ min: count, max: count });

/** One life of a process of the node. */
const incarnation = v.object({ counter: count, startId: name });

const helloSchema = v.object({
  wants: v.picklist(["peer", "watch", "rejoin"]),
  protocol,
  /** The levels of the replicated state that its program can work with. */
  features: v.object({ min: count, max: count }),
  /** Denim's own version, for people. */
  version: name,
  clusterId: name,
  /** One unbroken history; compared whole. */
  epoch: v.object({ n: count, random: name }),
  nodeId: name,
  role: v.picklist(["server", "agent"]),
  raftId: v.optional(count),
  storeId: v.optional(name),
  incarnation,
  /** Starts of this node's disk up to now, oldest first: a copy that went its own way lacks some. */
  starts: v.pipe(v.array(incarnation), v.maxLength(64)),
});

/** Of one that has no certificate yet: it says nothing that the other side could believe. */
const strangerSchema = v.object({
  wants: v.picklist(["join", "rejoin"]),
  protocol,
  version: name,
});

/** What each node says of itself first. */
export type Hello = v.InferOutput<typeof helloSchema>;
export type StrangerHello = v.InferOutput<typeof strangerSchema>;

export interface Admission {
  readonly ok: true;
}

/** Judges the other side's hello, which its certificate already bears out. */
export type Admit = (
  hello: Hello,
  identity: NodeIdentity,
) => Admission | ErrorJson | Promise<Admission | ErrorJson>;

export interface Greeting<H> {
  readonly hello: H;
  /** The protocol both speak: the smaller of the two maxima. */
  readonly protocol: number;
}

export interface GreetOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/**
 * Both sides say hello at once, judge what they hear, and say so. Resolves when both said yes;
 * a no of either side rejects on both, with the same code and reason.
 */
export function greet(
  wire: Wire,
  hello: Hello,
  peer: { readonly identity: NodeIdentity; readonly admit: Admit },
  options: GreetOptions,
): Promise<Greeting<Hello>> {
  return exchange(wire, hello, options, async (message) => {
    const theirs = parse(helloSchema, message);
    const protocol = agree(hello.protocol, theirs.protocol);
    const { identity } = peer;
    if (identity.nodeId !== theirs.nodeId || identity.clusterId !== theirs.clusterId) {
      throw new DenimError("PEER_REFUSED", "The peer is not let in", {
        why: `it calls itself ${theirs.nodeId} of cluster ${theirs.clusterId}, its certificate ` +
          `says ${identity.nodeId} of ${identity.clusterId}`,
      });
    }
    if (hello.clusterId !== theirs.clusterId) {
      throw new DenimError("CLUSTER_MISMATCH", "The two nodes are of different clusters", {
        why: `one is of cluster ${hello.clusterId}, the other of ${theirs.clusterId}`,
      });
    }
    const verdict = await peer.admit(theirs, identity);
    if (!("ok" in verdict)) throw DenimError.fromJSON(verdict);
    wire.payloadBytesMax = FRAME_BYTES_PEER;
    return { hello: theirs, protocol };
  });
}

/** The same for a side without a certificate, and for the server that hears it. */
export function greetStranger(
  wire: Wire,
  hello: StrangerHello,
  options: GreetOptions,
): Promise<Greeting<StrangerHello>> {
  return exchange(wire, hello, options, (message) => {
    const theirs = parse(strangerSchema, message);
    return { hello: theirs, protocol: agree(hello.protocol, theirs.protocol) };
  });
}

/** Tells the other side why not, and hangs up. It hears this instead of a hello or a welcome. */
export function refuse(wire: Wire, error: DenimError, clock: Clock): void {
  wire.send({ t: "refused", error: error.toJSON() });
  wire.farewell(error, clock);
}

async function exchange<G>(
  wire: Wire,
  hello: Hello | StrangerHello,
  { clock, timeoutMs }: GreetOptions,
  judge: (message: unknown) => G | Promise<G>,
): Promise<G> {
  const done = new AbortController();
  sleep(clock, timeoutMs, done.signal).then(() => {
    if (!done.signal.aborted) wire.destroy(silent(timeoutMs));
  });
  try {
    wire.send({ t: "hello", ...hello });
    const greeting = await judge(await hear(wire, "hello"));
    wire.send({ t: "welcome" });
    await hear(wire, "welcome");
    return greeting;
  } catch (error) {
    const reason = asDenimError(error);
    if (reason.cause === REFUSED_BY_PEER) wire.destroy(reason);
    else refuse(wire, reason, clock);
    throw reason;
  } finally {
    done.abort();
  }
}

const REFUSED_BY_PEER = Symbol("refused by the peer");

async function hear(wire: Wire, wanted: "hello" | "welcome"): Promise<unknown> {
  const message = await wire.receive() as { t?: unknown; error?: unknown } | null;
  if (message?.t === wanted) return message;
  if (message?.t === "refused") {
    const { code, message: text, why, fix } = DenimError.fromJSON(message.error);
    throw new DenimError(code, text, {
      ...(why === undefined ? {} : { why }),
      ...(fix === undefined ? {} : { fix }),
      cause: REFUSED_BY_PEER,
    });
  }
  throw new DenimError("PROTOCOL", "The other side does not greet as Denim does", {
    why: `a ${wanted} was expected`,
  });
}

function parse<Schema extends typeof helloSchema | typeof strangerSchema>(
  schema: Schema,
  message: unknown,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, message);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new DenimError("PROTOCOL", "The other side's hello cannot be read", {
    why: `${v.getDotPath(issue) ?? "it"}: ${issue.message}`,
    fix: "run versions of Denim that are closer to each other",
  });
}

type Range = v.InferOutput<typeof protocol>;

function agree(ours: Range, theirs: Range): number {
  const agreed = Math.min(ours.max, theirs.max);
  if (agreed >= Math.max(ours.min, theirs.min)) return agreed;
  throw new DenimError("PROTOCOL", "The two nodes speak no common protocol", {
    why: `one speaks ${ours.min} to ${ours.max}, the other ${theirs.min} to ${theirs.max}`,
    fix: "upgrade the older of the two, one version at a time",
  });
}

function silent(timeoutMs: number): DenimError {
  return new DenimError("TIMEOUT", "The other side did not greet", {
    why: `nothing came within ${timeoutMs / 1000} s`,
  });
}
