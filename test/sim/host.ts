import { hostGw } from "../../plugins/host-gw/mod.ts";
import type { NodeParts } from "../../src/agent/assemble.ts";
import { Node } from "../../src/agent/node.ts";
import { DEFAULT_SETTINGS } from "../../src/agent/settings.ts";
import { BackendRegistry } from "../../src/backend/registry.ts";
import { hex } from "../../src/base/bytes.ts";
import { asDenimError, type DenimError } from "../../src/base/errors.ts";
import type { Fields, Logger } from "../../src/base/log.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { SubnetFile } from "../../src/host/subnet-file.ts";
import { parseAddress } from "../../src/ip/address.ts";
import { MemoryKernel } from "../../src/kernel/memory-kernel.ts";
import { MemoryPacketFilter } from "../../src/kernel/memory-packet-filter.ts";
import type { HostTime } from "../../src/lease/holding.ts";
import { IdentityFolder } from "../../src/store/identity.ts";
import { Store } from "../../src/store/store.ts";
import type { NodeIdentity } from "../../src/transport/certificate.ts";
import { Disk } from "./disk.ts";
import type { Network } from "./network.ts";
import { Process } from "./process.ts";
import type { World } from "./world.ts";

/** Clocks of hosts differ by up to half a percent: far beyond what NTP's slewing does. */
const CLOCK_RATE_SPREAD = 0.005;
/** Some day in 2024. */
const WALL_START_MS = 1_720_000_000_000;
const IDENTITY = "identity";

/** As units name them with `--join`: a host that was away while all servers changed finds one. */
const SEEDS = Array.from({ length: 20 }, (_, i) => `10.0.0.${i + 1}:7470`);

/** Small ones, so that a short run meets their ends. */
const RETENTION = {
  log: { entries: 40, bytes: 64 * 1024 },
  ...{ historyEntries: 25, partRecords: 4 },
};

/** A machine with a disk, a kernel, clocks of its own, and at most one daemon. */
export class Host {
  readonly world: World;
  readonly network: Network;
  readonly name: string;
  readonly ip: string;
  readonly disk = new Disk();
  readonly clockRate: number;
  kernel!: MemoryKernel;
  packetFilter!: MemoryPacketFilter;
  bootName = "";
  subnetFile: string | undefined;
  /** Its disk is a copy of another host's. */
  isClone = false;
  /** Another host had a copy of its disk: the cluster may have gone on with that one. */
  wasCloned = false;
  /** Somebody typed `denim leave` on it: it takes its routes with it. */
  isLeaving = false;
  /** It is not started again: the others have to do without it. */
  staysDown = false;
  /** Something has reached its daemon since somebody last looked. */
  touched = false;
  /** Who its certificate says it is; a host that is in no cluster has none. */
  identity!: NodeIdentity;
  process: Process | undefined;
  node: Node | undefined;
  /** Why the last start failed. */
  startError: DenimError | undefined;
  #bootedMs = 0;
  #asleepMs = 0;
  #wallOffsetMs = 0;

  constructor(network: Network, number: number) {
    this.world = network.world;
    this.network = network;
    this.name = `h${number}`;
    this.ip = `10.0.0.${number}`;
    this.clockRate = 1 + (2 * this.world.random.fraction() - 1) * CLOCK_RATE_SPREAD;
    this.#boot();
  }

  get address(): string {
    return `${this.ip}:7470`;
  }

  get monotonicMs(): number {
    return (this.world.nowMs - this.#bootedMs - this.#asleepMs) * this.clockRate;
  }

  get bootMs(): number {
    return (this.world.nowMs - this.#bootedMs) * this.clockRate;
  }

  get wallMs(): number {
    return WALL_START_MS + this.world.nowMs * this.clockRate + this.#wallOffsetMs;
  }

  get time(): HostTime {
    return { bootMs: this.bootMs, wallMs: this.wallMs, bootId: this.bootName };
  }

  /** The id under which its store takes part in Raft. */
  get raftId(): number | undefined {
    const stored = this.disk.content.values.get("format");
    return stored === undefined
      ? undefined
      : (JSON.parse(stored.slice(9)) as { raftId?: number }).raftId;
  }

  /** Has an identity, running or not. */
  get isMember(): boolean {
    return this.disk.content.files.has(`${IDENTITY}/node.json`);
  }

  get isUp(): boolean {
    return this.process?.alive === true;
  }

  /** The daemon starts, as its unit would start it. */
  start(more: Partial<NodeParts> = {}): void {
    if (this.isUp || !this.isMember || this.staysDown) return;
    const process = new Process(this);
    this.process = process;
    this.node = undefined;
    this.startError = undefined;
    this.world.note(`${this.name} starts`);
    void this.#run(process, more);
  }

  /** `kill -9`: what it has written so far is on the disk, what it was writing may be. */
  kill(): void {
    if (!this.isUp) return;
    this.world.note(`${this.name} is killed`);
    this.#end(true);
  }

  /** The power goes and comes back: routes are gone, and so is all knowledge of time. */
  reboot(): void {
    this.world.note(`${this.name} loses power`);
    if (this.isUp) this.#end(false);
    this.#boot();
  }

  /** The host sleeps: timers stand still, and so does the monotonic clock. */
  sleep(durationMs: number): void {
    const { process } = this;
    if (process === undefined || process.stopped) return;
    this.world.note(`${this.name} sleeps for ${Math.round(durationMs)} ms`);
    process.stop();
    const fellAsleepMs = this.world.nowMs;
    this.world.after(durationMs, () => {
      this.#asleepMs += this.world.nowMs - fellAsleepMs;
      process.go();
    });
  }

  /** Somebody, or NTP, sets the wall clock. */
  setWall(deltaMs: number): void {
    this.world.note(`${this.name} sets its wall clock by ${Math.round(deltaMs)} ms`);
    this.#wallOffsetMs += deltaMs;
  }

  /** What an operator does with files while the daemon is down, at once. */
  get offline(): { readonly identity: IdentityFolder; readonly openStore: () => Promise<Store> } {
    const { content } = this.disk;
    const identity = new IdentityFolder(IDENTITY, {
      read: (path) => Promise.resolve(content.files.get(path)),
      write: (path, text) => Promise.resolve(void content.files.set(path, text)),
      remove: (path) => Promise.resolve(void content.files.delete(path)),
    });
    return { identity, openStore: () => Store.over(this.disk.instantValues()) };
  }

  #end(tellsPeers: boolean): void {
    const { process, world } = this;
    process!.kill();
    this.disk.cut(() => world.chance(0.5));
    this.network.drop(process!, tellsPeers);
    this.node = undefined;
  }

  #boot(): void {
    this.#bootedMs = this.world.nowMs;
    this.#asleepMs = 0;
    this.bootName = hex(this.world.random.bytes(4));
    this.subnetFile = undefined;
    this.kernel = new MemoryKernel();
    this.packetFilter = new MemoryPacketFilter();
    const address = { address: parseAddress(this.ip), length: 24 };
    this.kernel.addLink("eth0", { addresses: [address] });
  }

  async #run(process: Process, more: Partial<NodeParts>): Promise<void> {
    try {
      const node = await Node.start({
        settings: {
          ...DEFAULT_SETTINGS,
          ...{ stateDir: "/sim", version: "0.1.0", iface: "eth0", advertise: this.address },
          seeds: SEEDS,
          retention: RETENTION,
        },
        identity: new IdentityFolder(IDENTITY, this.disk.filesFor(process)),
        place: this.disk.placeFor(process),
        ...{ kernel: this.kernel, packetFilter: this.packetFilter },
        backends: new BackendRegistry([hostGw]),
        clock: process.clock,
        random: seededRandom(this.world.random.below(2 ** 32)),
        logger: this.#logger(),
        transport: () => this.network.transportFor(process, this.identity),
        subnetFile: this.#subnetFilePort(),
        bootId: this.bootName,
        forward: () => ({ wasOff: false }),
        ...more,
      });
      if (process.alive) this.node = node;
    } catch (error) {
      if (!process.alive) return;
      this.startError = asDenimError(error);
      this.world.note(`${this.name} cannot start: ${this.startError.message}`);
      this.#end(true);
    }
  }

  #subnetFilePort(): SubnetFile {
    return {
      path: `${this.name}:subnet.env`,
      prepare: () => {},
      exists: () => this.subnetFile !== undefined,
      write: (text) => Promise.resolve(void (this.subnetFile = text)),
      remove: () => Promise.resolve(void (this.subnetFile = undefined)),
    };
  }

  #logger(scope = ""): Logger {
    const write = (level: string) => (message: string, fields: Fields = {}) => {
      const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${value}`).join("");
      this.world.note(`${this.name} ${level} ${scope}${message}${rest}`);
    };
    return {
      ...{ debug: () => {}, info: write("info"), warn: write("warn"), error: write("error") },
      child: (name) => this.#logger(`${name}: `),
    };
  }
}
