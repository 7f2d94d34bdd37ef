import { asDenimError, isDenimError } from "../../src/base/errors.ts";
import type { Cluster } from "../../src/lease/cluster.ts";
import type { Command } from "../../src/lease/command.ts";
import type { SimCluster } from "./cluster.ts";
import type { Host } from "./host.ts";
import { demand } from "./violation.ts";

/** The last two subnets of the network: registers that nobody else writes. */
export const REGISTERS = ["10.244.10.0/24", "10.244.11.0/24"];
const CALL_TIMEOUT_MS = 3_000;

/** One call of a client, for the linearizability checker. */
export interface Call {
  readonly client: number;
  readonly register: string;
  readonly kind: "read" | "write";
  value: string | undefined;
  readonly calledMs: number;
  /** A read's state. */
  revision: number | undefined;
  /** `undefined` while its outcome is unknown. */
  returnedMs: number | undefined;
  /** It certainly did not happen. */
  failed: boolean;
}

/** What people and programs do with a cluster all day. */
export class Workload {
  readonly calls: Call[] = [];
  readonly #cluster: SimCluster;
  #values = 0;
  #clients = 0;
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
    const call = this.#begin("write", register, value);
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
    const call = this.#begin("read", register, undefined);
    try {
      const { state, position } = await clusterOf(host)!.read("linearizable", {
        timeoutMs: CALL_TIMEOUT_MS,
      });
      call.revision = position.revision;
      call.value = state.get("reservation", register)?.body.nodeName;
      this.#end(call);
    } catch {
      call.failed = true;
    }
  }

  #begin(kind: Call["kind"], register: string, value: string | undefined): Call {
    const call: Call = {
      ...{ client: ++this.#clients, kind, register, value, returnedMs: undefined, failed: false },
      calledMs: this.#cluster.world.nowMs,
      revision: undefined,
    };
    this.calls.push(call);
    return call;
  }

  #end(call: Call): void {
    call.returnedMs = this.#cluster.world.nowMs;
    this.#cluster.world.note(`${call.kind} ${call.register} ${call.value}`);
  }

  /**
   * What clients were told was so: no read was older than a write that was acknowledged before it,
   * and a write that nothing can have followed is what is read in the end.
   *
   * @param revisions by value: where its write was committed
   */
  checkEnd(cluster: Cluster, revisions: ReadonlyMap<string, number>): void {
    this.#checkReads(revisions);
    const { state } = cluster.view()!;
    for (const register of REGISTERS) {
      const writes = this.calls.filter((call) =>
        call.register === register && call.kind === "write" && !call.failed
      );
      const known = writes.filter(({ returnedMs }) => returnedMs !== undefined);
      const lastCalledMs = Math.max(0, ...known.map(({ calledMs }) => calledMs));
      const possible = writes.filter(({ returnedMs }) => (returnedMs ?? Infinity) >= lastCalledMs);
      const value = state.get("reservation", register)?.body.nodeName;
      demand(
        known.length === 0 || possible.some((write) => write.value === value),
        "nothing acknowledged is lost",
        () => `${register} is ${value}, it may be ${possible.map((write) => write.value)}`,
      );
    }
  }

  #checkReads(revisions: ReadonlyMap<string, number>): void {
    const writes = this.calls.filter((call) =>
      call.kind === "write" && call.returnedMs !== undefined
    );
    for (const read of this.calls.filter(isRead)) {
      for (const write of writes) {
        if (write.returnedMs! >= read.calledMs) continue;
        const revision = revisions.get(write.value!) ?? 0;
        demand(
          revision <= read.revision!,
          "a linearizable read has seen what was acknowledged",
          () => `${write.value} was acknowledged before ${JSON.stringify(read)} was called`,
        );
      }
    }
  }
}

function isRead(call: Call): boolean {
  return call.kind === "read" && call.returnedMs !== undefined;
}

export function clusterOf(host: Host | undefined): Cluster | undefined {
  return host?.node?.control.cluster;
}
