import { type Content, copyOf } from "./disk.ts";
import type { SimCluster } from "./cluster.ts";
import type { Host } from "./host.ts";
import { clusterOf } from "./workload.ts";

/** Everything that goes wrong, or that operators do at a bad moment. */
export const FAULTS = [
  ...["kill", "kill-leader", "reboot", "stop", "sleep", "cut", "isolate", "one-way"] as const,
  ...["bad-network", "slow-disk", "hung-disk", "failing-disk", "wall-clock"] as const,
  ...["join", "leave", "remove", "wipe", "clone"] as const,
];
export type Fault = (typeof FAULTS)[number];

const HOSTS_MAX = 14;
/** Longer than a leader takes somebody for reachable who is not. */
const FOUND_DEAD_MS = 4_000;

/** Does harm. Which kinds, and how often, is drawn for each run: runs that differ find more. */
export class Nemesis {
  readonly injected = new Map<Fault, number>();
  readonly #cluster: SimCluster;
  readonly #kinds: readonly Fault[];
  #lostServer = false;
  /** No new harm is done; what was begun ends. */
  #tired = false;

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
    const { world } = cluster;
    const drawn = FAULTS.filter(() => world.chance(0.5));
    this.#kinds = drawn.length > 0 ? drawn : ["kill"];
  }

  get count(): number {
    return [...this.injected.values()].reduce((sum, count) => sum + count, 0);
  }

  /** One thing goes wrong. */
  strike(): void {
    const { world } = this.#cluster;
    const kind = world.pick(this.#kinds)!;
    const host = world.pick(this.#cluster.hosts.filter(({ isMember }) => isMember));
    if (this.#tired || host === undefined) return;
    this.injected.set(kind, (this.injected.get(kind) ?? 0) + 1);
    this.#do(kind, host);
  }

  /** From now on everything is as it should be. */
  rest(): void {
    this.#tired = true;
    const { network, hosts } = this.#cluster;
    network.heal();
    Object.assign(network.mood, { leastMs: 0.1, meanMs: 0.3, loss: 0, repeats: 0, delays: 0 });
    for (const host of hosts) {
      const { mood } = host.disk;
      // What hung for so long is not waited for any more.
      if (mood.hung || mood.failWith !== undefined) host.kill();
      Object.assign(mood, { leastMs: 0.1, meanMs: 0.5, hung: false, failWith: undefined });
      if (host.process?.stopped) host.process.go();
    }
  }

  #do(kind: Fault, host: Host): void {
    const { world } = this.#cluster;
    switch (kind) {
      case "kill":
        return this.#kill(host);
      case "kill-leader":
        return this.#kill(this.#leader() ?? host);
      case "reboot":
        host.reboot();
        return this.#soon(() => host.start());
      case "stop":
        return this.#stop(host);
      case "sleep":
        return host.sleep(world.between(500, 20_000));
      case "cut":
        return this.#cut((a, b) => a !== b && world.chance(0.4));
      case "isolate":
        return this.#cut((a, b) => (a === host) !== (b === host));
      case "one-way":
        return this.#cut((a, b) => a === host && b !== host);
      case "bad-network":
        return this.#badNetwork();
      case "slow-disk":
        host.disk.mood.meanMs = world.between(10, 600);
        return this.#soon(() => (host.disk.mood.meanMs = 0.5));
      case "hung-disk":
        return this.#hang(host);
      case "failing-disk":
        return this.#failDisk(host);
      case "wall-clock":
        return host.setWall(world.between(-90_000, 90_000));
      case "join":
        return void this.#join();
      case "leave":
        return void this.#leave(host);
      case "remove":
        return void this.#remove(host);
      case "wipe":
        return this.#wipe(host);
      case "clone":
        return this.#clone(host);
      default:
        kind satisfies never;
    }
  }

  #kill(host: Host): void {
    host.kill();
    this.#soon(() => host.start());
  }

  #stop(host: Host): void {
    const { process } = host;
    if (process === undefined || process.stopped) return;
    this.#cluster.world.note(`${host.name} is stopped`);
    process.stop();
    this.#soon(() => process.go());
  }

  #cut(isCut: (a: Host, b: Host) => boolean): void {
    const { network, hosts, world } = this.#cluster;
    network.heal();
    const ways: string[] = [];
    for (const a of hosts) {
      for (const b of hosts) {
        if (!isCut(a, b)) continue;
        network.cut(a.name, b.name);
        ways.push(`${a.name}>${b.name}`);
      }
    }
    world.note(`cut ${ways.join(" ")}`);
    this.#soon(() => network.heal());
  }

  #badNetwork(): void {
    const { network: { mood }, world } = this.#cluster;
    Object.assign(mood, {
      leastMs: world.between(0.1, 30),
      meanMs: world.between(0.3, 60),
      loss: world.between(0, 0.3),
      repeats: world.between(0, 0.3),
      delays: world.between(0, 0.3),
    });
    world.note(`the network is bad: ${JSON.stringify(mood)}`);
    this.#soon(() => {
      Object.assign(mood, { leastMs: 0.1, meanMs: 0.3, loss: 0, repeats: 0, delays: 0 });
    });
  }

  #hang(host: Host): void {
    const { mood } = host.disk;
    mood.hung = true;
    this.#cluster.world.note(`the disk of ${host.name} hangs`);
    this.#soon(() => {
      mood.hung = false;
      this.#kill(host);
    });
  }

  #failDisk(host: Host): void {
    const { mood } = host.disk;
    mood.failWith = this.#cluster.world.pick(["EIO: i/o error", "ENOSPC: no space left on device"]);
    this.#cluster.world.note(`the disk of ${host.name} fails: ${mood.failWith}`);
    this.#soon(() => {
      mood.failWith = undefined;
      this.#kill(host);
    });
  }

  async #join(): Promise<void> {
    const { world, hosts, up } = this.#cluster;
    const by = clusterOf(world.pick(up));
    if (by === undefined || hosts.length >= HOSTS_MAX) return;
    const host = this.#cluster.addHost();
    this.#watch(host);
    await this.#cluster.join(host, world.chance(0.5) ? "server" : "agent", by)
      .then(() => host.start(), (error) => world.note(`${host.name} did not get in: ${error}`));
  }

  async #leave(host: Host): Promise<void> {
    const { node, process } = host;
    if (node === undefined || this.#membersLeft() < 4) return;
    this.#cluster.world.note(`${host.name} wants to leave`);
    host.isLeaving = true;
    try {
      await node.leave();
    } catch {
      host.isLeaving = false;
      return;
    }
    if (process?.alive !== true) return;
    host.kill();
    this.#forget(host);
  }

  /** `denim node rm` of a host that may live on somewhere, and still use its subnet. */
  async #remove(host: Host): Promise<void> {
    const by = this.#cluster.world.pick(this.#cluster.up.filter((other) => other !== host));
    if (by?.node === undefined || this.#membersLeft() < 4) return;
    this.#cluster.world.note(`${host.name} is removed by ${by.name}`);
    await by.node.control.errands.letGo(host.identity.nodeId, "remove").catch(() => {});
  }

  /** The host dies; it gets a new disk, and those who are left remove it. */
  #wipe(host: Host): void {
    if (this.#membersLeft() < 5) return;
    host.kill();
    const gone = host.identity.nodeId;
    const { process } = host;
    this.#cluster.world.after(FOUND_DEAD_MS, () => {
      // Started by somebody else meanwhile, it has not been down for so long.
      if (host.process !== process || !this.#canLose(host)) return host.start();
      this.#lostServer ||= host.identity.canServe;
      this.#cluster.world.note(`${host.name} gets a new disk`);
      this.#forget(host);
      this.#soon(() => void this.#bury(gone));
    });
  }

  /**
   * One server at most, since a dead one is a missing voter until it is buried; and only when the
   * group has had the time to see that it is down, or it could still shrink around it.
   */
  #canLose(host: Host): boolean {
    if (!host.identity.canServe) return true;
    const group = this.#leader()?.node?.control.replica?.status().configuration;
    return !this.#lostServer && group !== undefined && group.voters.length >= 3;
  }

  async #bury(node: string): Promise<void> {
    for (;;) {
      const by = this.#cluster.world.pick(this.#cluster.up)?.node;
      const view = by?.control.cluster.view();
      if (view !== undefined && view.state.get("node", node) === undefined) return;
      await by?.control.errands.letGo(node, "remove").catch(() => {});
      await new Promise<void>((resolve) => this.#soon(resolve));
    }
  }

  /**
   * A copy of an agent's disk comes up elsewhere, while the agent lives on. Which of them the
   * cluster goes on with is chance, and the other stays out; so this is not done to servers, whose
   * majority would be lost with them.
   */
  #clone(host: Host): void {
    if (this.#cluster.hosts.length >= HOSTS_MAX || host.identity.canServe) return;
    host.wasCloned = true;
    const copy = this.#cluster.addHost();
    this.#watch(copy);
    copy.disk.content = copyOf(host.disk.content);
    copy.identity = host.identity;
    copy.isClone = true;
    this.#cluster.world.note(`${copy.name} is a clone of ${host.name}`);
    copy.start();
    this.#soon(() => {
      copy.kill();
      this.#forget(copy);
    });
  }

  #forget(host: Host): void {
    host.disk.former.push(host.disk.content);
    const nothing: Content = { values: new Map(), files: new Map() };
    host.disk.content = nothing;
  }

  /** Set by whoever looks after new hosts. */
  #watch: (host: Host) => void = () => {};
  onNewHost(watch: (host: Host) => void): void {
    this.#watch = watch;
  }

  #membersLeft(): number {
    return this.#cluster.hosts.filter(({ isMember, isClone }) => isMember && !isClone).length;
  }

  #leader(): Host | undefined {
    return this.#cluster.up.find(({ node }) => node!.control.replica?.leads === true);
  }

  #soon(action: () => void): void {
    const { world } = this.#cluster;
    world.after(
      world.chance(0.2) ? world.between(5_000, 80_000) : world.between(50, 8_000),
      action,
    );
  }
}
