import type { Canonical } from "../../src/base/canonical.ts";
import { DenimError } from "../../src/base/errors.ts";
import { type Applied, apply } from "../../src/lease/apply.ts";
import {
  type Command,
  type CommandOf,
  decodeEntry,
  encodeEntry,
  type JoinAnswer,
  type Joiner,
  type LeaseAnswer,
} from "../../src/lease/command.ts";
import { FEATURES } from "../../src/lease/feature-level.ts";
import type { Epoch, LeaseAttributes } from "../../src/lease/records.ts";
import { State } from "../../src/lease/state.ts";

export const NETWORK = '{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}';
export const EPOCH = { n: 1, random: "00000000000000aa" };
/** The epoch after it. */
export const LATER = { n: 2, random: "00000000000000bb" };
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** Some time in 2024. */
export const WALL_MS = 1_720_000_000_000;

export function attributes(n: number): LeaseAttributes {
  return {
    publicIp: `192.168.${n >> 8}.${n & 255}`,
    backendType: "host-gw",
    backendData: "null",
  };
}

/** Host number `n`, an agent unless told otherwise. */
export function joiner(n: number, overrides: Partial<Joiner> = {}): Joiner {
  return {
    nodeId: `id${n}`,
    name: `host${n}`,
    role: "agent",
    address: `192.168.${n >> 8}.${n & 255}:7470`,
    csrKey: `key${n}`,
    storeId: `store${n}`,
    version: "0.1.0",
    features: FEATURES,
    certificateEndsWallMs: WALL_MS + 365 * DAY_MS,
    attributes: attributes(n),
    ...overrides,
  };
}

export function initCommand(
  config = NETWORK,
  node: Partial<Joiner> = {},
): CommandOf<"cluster.init"> {
  return {
    kind: "cluster.init",
    clusterId: "00112233445566778899aabbccddeeff",
    name: "test",
    epoch: EPOCH,
    config,
    node: joiner(0, { role: "server", ...node }),
  };
}

/** A token that lets anybody in, any number of times. */
export const OPEN_TOKEN: CommandOf<"token.create"> = {
  kind: "token.create",
  tokenId: "open",
  secretHash: "00",
  role: "agent",
  uses: null,
  expiresWallMs: WALL_MS + 1_000 * DAY_MS,
};

/** A state and the entries that led to it, without a group: what `apply` is tested with. */
export class Ledger {
  state = new State();
  index = 0;
  wallMs = WALL_MS;

  /** A cluster of host 0 with an open token. */
  static open(config = NETWORK): Ledger {
    const ledger = new Ledger();
    ledger.do(initCommand(config));
    ledger.do(OPEN_TOKEN);
    return ledger;
  }

  /** What a backup of it would be, or a server that falls behind. */
  copy(): Ledger {
    const copy = new Ledger();
    const records = [...this.state.records("revisioned"), ...this.state.records("clock")];
    copy.state = State.restore(records, this.state);
    copy.index = this.index;
    copy.wallMs = this.wallMs;
    return copy;
  }

  /** A new epoch begins on this state, as `replica/reform.ts` makes it. */
  reform(epoch: Epoch = LATER, node = "id0"): Canonical {
    this.index += 1e9 - 1;
    return this.do({ kind: "cluster.reform", epoch, reason: "recover", node });
  }

  /** Applies one entry, by way of its text, `elapsedMs` after the last one. */
  enter(command: Command, elapsedMs = 0): Applied {
    this.wallMs += elapsedMs;
    const text = encodeEntry({ elapsedMs, wallMs: this.wallMs }, command);
    const entry = decodeEntry(text);
    return apply(this.state, ++this.index, entry.stamp, entry.command);
  }

  /** @throws what `apply` refuses */
  do(command: Command, elapsedMs = 0): Canonical {
    const { answer } = this.enter(command, elapsedMs);
    if (!answer.ok) throw DenimError.fromJSON(answer.error);
    return answer.value;
  }

  /** The lease clock moves; a long time takes more than one entry. */
  pass(durationMs: number): void {
    for (let leftMs = durationMs; leftMs > 0; leftMs -= HOUR_MS) {
      this.do({ kind: "tick" }, Math.min(leftMs, HOUR_MS));
    }
  }

  join(n: number, overrides: Partial<Joiner> = {}, tokenId = "open"): JoinAnswer {
    return this.do({ kind: "node.join", tokenId, node: joiner(n, overrides) }) as JoinAnswer;
  }

  /** The subnets that host `n` gets when it joins, as one text. */
  joinedSubnet(n: number, overrides: Partial<Joiner> = {}): string {
    return this.join(n, overrides).lease.subnets.join();
  }

  renew(n: number, elapsedMs = 0): LeaseAnswer {
    const subnets = this.subnetsOf(n);
    return this.do({ kind: "lease.renew", node: `id${n}`, subnets }, elapsedMs) as LeaseAnswer;
  }

  /** Proposes what a leader would: every lease whose deadline has passed. */
  expireAll(): void {
    const leases = [...this.state.all("lease")]
      .map(({ key, modRevision }) => ({ key, revision: modRevision }));
    this.do({ kind: "lease.expire", leases });
  }

  subnetsOf(n: number): readonly string[] {
    return this.state.find("leaseByNode", `id${n}`)[0]?.body.subnets ?? [];
  }

  deadlineOf(n: number): number {
    return this.state.get("deadline", this.subnetsOf(n)[0]!)!.body.deadlineMs;
  }
}
