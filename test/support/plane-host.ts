import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { hostGw } from "../../plugins/host-gw/mod.ts";
import { DataPlane, type DataPlaneOptions } from "../../src/agent/data/data-plane.ts";
import type { LeaseStanding } from "../../src/agent/leasing.ts";
import { BackendRegistry } from "../../src/backend/registry.ts";
import { subnetFileAt } from "../../src/host/subnet-file.ts";
import type { MemoryKernel } from "../../src/kernel/memory-kernel.ts";
import { theNetwork } from "../../src/lease/state.ts";
import type { Kernel } from "../../src/plan/kernel.ts";
import { IdentityFolder } from "../../src/store/identity.ts";
import { fastClock, until } from "./fast-clock.ts";
import { EPOCH, initCommand, joiner, NETWORK, OPEN_TOKEN } from "./ledger.ts";
import { RecordingLogger } from "./log.ts";
import { MemoryCluster } from "./memory-cluster.ts";
import type { Test } from "./tap.ts";

/** Host 1 of the cluster in `ledger.ts`, at 192.168.0.1, with the subnet 10.5.2.0/24. */
export class PlaneHost<K extends Kernel = MemoryKernel> {
  readonly clock = fastClock(20);
  readonly cluster: MemoryCluster;
  readonly kernel: K;
  readonly log = new RecordingLogger();
  readonly folder: string;
  readonly identity: IdentityFolder;
  readonly subnetFile: string;
  attributesTold = 0;
  standing: LeaseStanding;
  plane!: DataPlane;

  constructor(folder: string, kernel: K, config = NETWORK) {
    this.cluster = new MemoryCluster(this.clock, [initCommand(config), OPEN_TOKEN]);
    this.folder = folder;
    this.kernel = kernel;
    this.identity = new IdentityFolder(join(folder, "identity"));
    this.subnetFile = join(folder, "subnet.env");
    this.join(1);
    const sent = { bootMs: 0, wallMs: 0, bootId: "boot" };
    const ttlMs = 86_400_000;
    const holding = { subnets: ["10.5.2.0/24"], revision: 3, epoch: EPOCH, ttlMs, sent };
    this.standing = { kind: "held", holding, trustedForMs: ttlMs };
  }

  join(n: number): void {
    this.cluster.apply({ kind: "node.join", tokenId: OPEN_TOKEN.tokenId, node: joiner(n) });
  }

  fence(): void {
    if (this.standing.kind === "none") return;
    this.standing = { kind: "fenced", holding: this.standing.holding, error: undefined };
    this.plane.trigger();
  }

  async start(t: Test, options: Partial<DataPlaneOptions> = {}): Promise<this> {
    if (await this.identity.read("secret") === undefined) {
      await this.identity.write("secret", { seed: "11".repeat(32) });
    }
    this.plane = new DataPlane({
      nodeId: "id1",
      ...{ kernel: this.kernel, cluster: this.cluster, identity: this.identity },
      backends: new BackendRegistry([hostGw]),
      wish: { iface: "eth0" },
      subnetFile: subnetFileAt(this.subnetFile),
      acceptExpiredLease: false,
      ...{ clock: this.clock, logger: this.log },
      standing: () => this.standing,
      onAttributes: () => this.attributesTold++,
      masquerades: () => Promise.resolve(false),
      ...options,
    });
    const { plane } = this;
    t.teardown(() => plane[Symbol.asyncDispose]());
    await plane.load();
    await plane.prepare(theNetwork(this.cluster.view().state)!);
    plane.start();
    await until("it has looked once", () => plane.lastPass !== undefined || !this.hasScene);
    return this;
  }

  get hasScene(): boolean {
    return this.standing.kind !== "none";
  }

  get env(): string | undefined {
    return existsSync(this.subnetFile) ? readFileSync(this.subnetFile, "utf8") : undefined;
  }

  /** Until another pass is over. */
  async pass(): Promise<void> {
    const before = this.plane.lastPass;
    this.plane.trigger();
    await until("another pass", () => this.plane.lastPass !== before);
  }
}
