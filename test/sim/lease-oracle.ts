import { formatAddress } from "../../src/ip/address.ts";
import { formatSubject } from "../../src/plan/subject.ts";
import type { Position, View } from "../../src/lease/cluster.ts";
import { theHold } from "../../src/lease/hold.ts";
import { type Holding, trustedForMs } from "../../src/lease/holding.ts";
import { equalEpoch } from "../../src/lease/records.ts";
import type { MemoryKernel } from "../../src/kernel/memory-kernel.ts";
import type { Change } from "../../src/plan/kernel.ts";
import type { Wanted } from "../../src/plan/wanted.ts";
import type { Host } from "./host.ts";
import { demand } from "./violation.ts";

/** A claim and its answer take no longer than this, milliseconds. */
const ANSWER_MS = 15_000;

/** What one kernel was told, and on the word of which position each route was made. */
interface RouteLedger {
  read: number;
  readonly made: Map<string, Position>;
}

/**
 * What Denim promises of subnets and routes: nobody holds what another one holds, equal positions
 * are equal states on every node, and no living route is deleted.
 */
export class LeaseOracle {
  readonly #hosts: () => readonly Host[];
  /** By position: the digest of the revisioned records. */
  readonly #digests = new Map<string, string>();
  readonly #holdings = new Map<Host, Holding>();
  /** The leases of the newest state that was seen, and where that was. */
  #leases = new Map<string, string>();
  #newest: Position | undefined;
  readonly #kernels = new WeakMap<MemoryKernel, RouteLedger>();

  constructor(hosts: () => readonly Host[]) {
    this.#hosts = hosts;
  }

  /** Something has happened on a host. */
  look(host: Host): void {
    const { node } = host;
    if (node === undefined) return;
    const view = node.control.cluster.view();
    if (view === undefined) return;
    this.#sameState(host, view, node.control.digest);
    if (this.#newest === undefined || isNewer(view.position, this.#newest)) this.#endings(view);
    const standing = node.standing();
    if (standing.kind === "held" && this.#holdings.get(host) !== standing.holding) {
      this.#onHold(host, view, standing.holding);
      this.#holdings.set(host, standing.holding);
      this.#exclusive(host, standing.holding);
    }
    // Events may have come since the pass: what counts is the state that it went by.
    this.#kernel(host, node.data.lastPass?.programmed ?? view.position);
  }

  #sameState(host: Host, { position: { epoch, revision } }: View, digest: string): void {
    const key = `${epoch.n} ${epoch.random} ${revision}`;
    const known = this.#digests.get(key) ?? digest;
    this.#digests.set(key, known);
    demand(known === digest, "equal revision, equal records", () => `${revision} on ${host.name}`);
  }

  /** Who has lost its trust waits for a hold's end: somebody else may rightly have its subnet. */
  #onHold(host: Host, { state, position: { epoch } }: View, holding: Holding): void {
    const before = this.#holdings.get(host);
    if (theHold(state) === undefined || before === undefined || isCopied(host)) return;
    if (!equalEpoch(holding.epoch, epoch) || equalEpoch(before.epoch, epoch)) return;
    const asked = { ...host.time, bootMs: host.time.bootMs - ANSWER_MS };
    const wall = { ...asked, wallMs: asked.wallMs - ANSWER_MS };
    demand(
      trustedForMs(before, wall) > 0 || trustedForMs(before, host.time) > 0,
      "a hold gives nothing to who has lost its trust",
      () => `${host.name}: ${JSON.stringify(before)}`,
    );
  }

  /** No lease expires while its holder, by its own clocks, may rely on it. */
  #endings({ position, state }: View): void {
    this.#newest = position;
    const leases = new Map([...state.all("lease")].map(({ key, body }) => [key, body.node]));
    for (const [subnet, node] of this.#leases) {
      if (leases.has(subnet) || state.get("freed", subnet)?.body.how !== "expired") continue;
      const holder = this.#hosts().find((host) =>
        host.identity?.nodeId === node && !isCopied(host)
      );
      const holding = holder && trustedBy(holder);
      demand(
        holding?.subnets.includes(subnet) !== true,
        "no lease expires under its holder",
        () => `${subnet} at ${position.revision}, trusted by ${holder!.name}`,
      );
    }
    this.#leases = leases;
  }

  /** At no moment of true time do two nodes trust overlapping leases. */
  #exclusive(host: Host, holding: Holding): void {
    for (const other of this.#hosts()) {
      if (other === host || isCopied(other) || isCopied(host)) continue;
      const theirs = trustedBy(other);
      const both = theirs?.subnets.find((subnet) => holding.subnets.includes(subnet));
      demand(
        both === undefined,
        "a subnet has one holder",
        () =>
          `${both}: ${host.name} (${JSON.stringify(holding)}) and ${other.name} ` +
          `(${JSON.stringify(theirs)}, for ${trustedForMs(theirs!, other.time)} ms more)`,
      );
    }
  }

  #kernel(host: Host, position: Position): void {
    const { applied } = host.kernel;
    const ledger = this.#kernels.get(host.kernel) ?? { read: 0, made: new Map() };
    this.#kernels.set(host.kernel, ledger);
    const fresh = applied.slice(ledger.read);
    ledger.read = applied.length;
    fresh.forEach((change, i) => {
      // Where two passes are seen at once, what the first one went by is not known any more.
      const later = fresh.slice(i + 1).some((next) => keyOf(next) === keyOf(change));
      this.#change(host, position, ledger, change, { judged: !later });
    });
  }

  #change(
    host: Host,
    position: Position,
    ledger: RouteLedger,
    change: Change,
    { judged }: { readonly judged: boolean },
  ): void {
    const key = keyOf(change);
    if (judged && change.kind !== "add" && !host.isLeaving) {
      this.#mayGo(host, position, ledger, change.kind === "remove" ? change.item : change.old);
    }
    if (change.kind === "remove") ledger.made.delete(key);
    else ledger.made.set(key, position);
  }

  /**
   * A route may go on the word of a state that is not older than the one that made it, and not while
   * the lease that this state must know of still stands.
   */
  #mayGo(host: Host, position: Position, ledger: RouteLedger, route: Wanted): void {
    const key = formatSubject(route);
    const { epoch, revision } = position;
    const made = ledger.made.get(key);
    const facts = () => `${host.name} at ${revision} removed ${key}`;
    const newer = made === undefined || made.epoch.n < epoch.n ||
      (equalEpoch(made.epoch, epoch) && made.revision <= revision);
    demand(newer, "nothing is deleted on the word of an older state", facts);
    const truth = this.#truth();
    if (truth === undefined || !equalEpoch(truth.position.epoch, epoch)) return;
    const lease = truth.state.get("lease", key);
    const stands = route.kind === "route" && lease !== undefined &&
      lease.createRevision <= revision &&
      lease.modRevision <= revision && lease.body.node !== host.identity.nodeId &&
      route.via !== undefined && lease.body.publicIp === formatAddress(route.via);
    demand(!stands, "no living route is deleted", facts);
  }

  /** The newest state that any node has. */
  #truth(): View | undefined {
    let truth: View | undefined;
    for (const { node } of this.#hosts()) {
      const view = node?.control.cluster.view();
      if (view === undefined) continue;
      if (truth === undefined || isNewer(view.position, truth.position)) truth = view;
    }
    return truth;
  }
}

/** Two disks with one identity are one node, whatever each of them does with its lease. */
function isCopied(host: Host): boolean {
  return host.isClone || host.wasCloned;
}

function isNewer(a: Position, b: Position): boolean {
  return a.epoch.n > b.epoch.n || (a.epoch.n === b.epoch.n && a.revision > b.revision);
}

/** What a host may rely on now by its own clocks, whether its daemon runs or not. */
export function trustedBy(host: Host): Holding | undefined {
  const standing = host.node?.standing();
  const holding = standing === undefined || standing.kind === "none"
    ? holdingOnDisk(host)
    : standing.holding;
  return holding !== undefined && trustedForMs(holding, host.time) > 0 ? holding : undefined;
}

function holdingOnDisk(host: Host): Holding | undefined {
  const text = host.disk.content.files.get("identity/lease.json");
  return text === undefined ? undefined : JSON.parse(text) as Holding;
}

function keyOf(change: Change): string {
  return formatSubject(change.item);
}
