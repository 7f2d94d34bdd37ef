import { asDenimError, isDenimError } from "../../src/base/errors.ts";
import type { Cluster } from "../../src/lease/cluster.ts";
import type { Command } from "../../src/lease/command.ts";
import type { StateReader } from "../../src/lease/state.ts";
import type { SimCluster } from "./cluster.ts";
import type { Host } from "./host.ts";
import { NIL, register as model, type RegisterOperation } from "./register.ts";
import { demand } from "./violation.ts";
import { checkLinearizable, type Operation } from "./wgl.ts";

/** The last two subnets of the network: registers that nobody else writes. */
export const REGISTERS = ["10.244.10.0/24", "10.244.11.0/24"];
const CALL_TIMEOUT_MS = 3_000;

/** One call of a client, whose outcome stays unknown until it returns. */
export interface Call {
  readonly register: string;
  readonly kind: "read" | "write";
  value: string;
  /** By the number of the epoch, which cluster it was made in; a later one may answer. */
  readonly epoch: number;
  readonly calledMs: number;
  /** A read's state. */
  revision: number | undefined;
  returnedMs: number | undefined;
  /** It certainly did not happen. */
  failed: boolean;
}

/** What people and programs do with a cluster all day. */
export class Workload {
  readonly calls: Call[] = [];
  readonly #cluster: SimCluster;
  #values = 0;
  acknowledged = 0;

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  /** Sets the registers aside, before a host is given their subnets. */
  async begin(host: Host): Promise<void> {
    for (const register of REGISTERS) await this.#write(host, register);
  }

  /** Someone writes a value into a register, or reads one. */
  call(): void {
    const { world } = this.#cluster;
    const host = world.pick(this.#cluster.up);
    if (host === undefined) return;
    const register = world.pick(REGISTERS)!;
    if (world.chance(0.4)) void this.#read(host, register);
    else void this.#write(host, register);
  }

  /** Changes that every node hears of. */
  async churn(): Promise<void> {
    const { world } = this.#cluster;
    const cluster = clusterOf(world.pick(this.#cluster.up));
    if (cluster === undefined) return;
    const tokenId = `t${world.random.below(5)}`;
    const command: Command = world.chance(0.5) ? { kind: "token.revoke", tokenId } : {
      kind: "token.create",
      ...{ tokenId, secretHash: "1".repeat(64), role: "agent", uses: 1 },
      expiresWallMs: 2e12,
    };
    await cluster.propose(command, { timeoutMs: CALL_TIMEOUT_MS }).catch(() => {});
  }

  async #write(host: Host, register: string): Promise<void> {
    const value = `v${++this.#values}`;
    const call = this.#begin(host, "write", register, value);
    try {
      const command = { kind: "reservation.put", subnet: register, nodeName: value } as const;
      await clusterOf(host)!.propose(command, { timeoutMs: CALL_TIMEOUT_MS });
      this.#end(call);
      this.acknowledged++;
    } catch (error) {
      const failure = asDenimError(error);
      if (isDenimError(failure, "OUTCOME_UNKNOWN", "INTERNAL")) return;
      call.failed = true;
    }
  }

  async #read(host: Host, register: string): Promise<void> {
    const call = this.#begin(host, "read", register, NIL);
    try {
      const { state, position } = await clusterOf(host)!.read("linearizable", {
        timeoutMs: CALL_TIMEOUT_MS,
      });
      call.revision = position.revision;
      call.value = valueOf(state, register);
      this.#end(call);
    } catch {
      call.failed = true;
    }
  }

  #begin(host: Host, kind: Call["kind"], register: string, value: string): Call {
    const call: Call = {
      ...{ kind, register, value, returnedMs: undefined, failed: false, revision: undefined },
      epoch: clusterOf(host)?.view()?.position.epoch.n ?? 0,
      calledMs: this.#cluster.world.nowMs,
    };
    this.calls.push(call);
    return call;
  }

  #end(call: Call): void {
    call.returnedMs = this.#cluster.world.nowMs;
    this.#cluster.world.note(`${call.kind} ${call.register} ${call.value}`);
  }

  /**
   * What clients were told was so: each register was one, to the last value that it holds, and no
   * read was of a state older than a write that was acknowledged before it.
   *
   * @param revisions by value: where its write was committed
   */
  checkEnd(cluster: Cluster, revisions: ReadonlyMap<string, number>): void {
    const { state, position: { epoch } } = cluster.view()!;
    this.#checkReads(revisions, epoch.n);
    for (const register of REGISTERS) {
      const value = valueOf(state, register);
      const history = [
        ...this.calls.flatMap((call) =>
          call.register === register ? operations(call, epoch.n) : []
        ),
        { what: { kind: "read", value }, calledAt: Infinity, returnedAt: Infinity } as const,
      ];
      const verdict = checkLinearizable(model, history.filter(mayMatter(history)));
      const facts = () => `${register}, which is ${value} in the end: ${verdict}`;
      // Too many at once, after a pause, may be too much to decide; revisions are judged all the same.
      demand(
        verdict !== "not linearizable",
        "what clients see of a register is linearizable",
        facts,
      );
    }
  }

  #checkReads(revisions: ReadonlyMap<string, number>, epoch: number): void {
    const calls = this.calls.filter((call) =>
      call.epoch === epoch && call.returnedMs !== undefined
    );
    const writes = calls.filter(({ kind }) => kind === "write");
    for (const read of calls.filter(({ kind }) => kind === "read")) {
      for (const write of writes) {
        if (write.returnedMs! >= read.calledMs) continue;
        const revision = revisions.get(write.value) ?? 0;
        demand(
          revision <= read.revision!,
          "a linearizable read has seen what was acknowledged",
          () => `${write.value} was acknowledged before ${JSON.stringify(read)} was called`,
        );
      }
    }
  }
}

/**
 * Values are written once. Where nobody has read one, a write of it that may not have happened need
 * not have, in any order that explains the rest; many of them make the search long.
 */
function mayMatter(history: readonly Operation<RegisterOperation>[]) {
  const seen = new Set(history.flatMap(({ what }) => what.kind === "read" ? [what.value] : []));
  return ({ what, returnedAt }: Operation<RegisterOperation>): boolean =>
    returnedAt !== undefined || what.kind !== "write" || seen.has(what.value);
}

/** A cluster that goes on from an older state may or may not have what the one before was told. */
function operations(call: Call, epoch: number): Operation<RegisterOperation>[] {
  const { kind, value, calledMs: calledAt, returnedMs } = call;
  const returnedAt = call.epoch === epoch ? returnedMs : undefined;
  return call.failed ? [] : [{ what: { kind, value }, calledAt, returnedAt }];
}

function valueOf(state: StateReader, register: string): string {
  return state.get("reservation", register)?.body.nodeName ?? NIL;
}

export function clusterOf(host: Host | undefined): Cluster | undefined {
  return host?.node?.control.cluster;
}
