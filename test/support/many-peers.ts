import { hostGw } from "../../plugins/host-gw/mod.ts";
import { type Pass, Reconciler } from "../../src/agent/data/reconcile.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import type { Kernel } from "../../src/plan/kernel.ts";
import type { Route } from "../../src/plan/wanted.ts";
import { hostAt, peerAt } from "./hosts.ts";
import { route } from "./routes.ts";

/** How long a table may take to become right. */
const PATIENCE_MS = 30_000;

/** A reconciler in a network of many hosts, all on the link `eth0` with 10.0.0.1/16. */
export interface ManyPeers extends AsyncDisposable {
  readonly wanted: readonly Route[];
  /** Resolves after one more pass, which reads the kernel, and is asked for here. */
  look(): Promise<Pass>;
  /** The same without asking: the kernel has to. */
  nextPass(): Promise<Pass>;
  /** Resolves when the kernel has every wanted route and no other of ours. */
  untilRight(): Promise<void>;
}

export function reconcilePeers(kernel: Kernel, count: number): ManyPeers {
  const numbers = Array.from({ length: count }, (_, i) => i + 2);
  const subnetOf = (n: number) => `10.${64 + (n >> 8)}.${n & 255}.0/24`;
  const addressOf = (n: number) => `10.0.${n >> 8}.${n & 255}`;
  const peers = numbers.map((n) => peerAt(`node-${n}`, addressOf(n), subnetOf(n)));
  let waiting: ((pass: Pass) => void)[] = [];
  const reconciler = new Reconciler({
    kernel,
    clock: systemClock(),
    log: silentLogger,
    situation: () => ({
      ...{ backend: hostGw, host: hostAt("10.0.0.1/16"), config: null },
      ...{ own: peerAt("node-1", "10.0.0.1", "10.64.1.0/24"), peers },
      network: parsePrefix("10.64.0.0/10"),
      networks: [parsePrefix("10.64.0.0/10")],
      confidence: {
        ...{ confirmedByLeader: true, hold: false, programmed: undefined },
        ...{ epoch: { n: 1, random: "a" }, revision: 1 },
      },
    }),
    onPass(pass) {
      const resolves = waiting;
      waiting = [];
      for (const resolve of resolves) resolve(pass);
    },
  });
  reconciler.start();
  const nextPass = () => new Promise<Pass>((resolve) => waiting.push(resolve));
  const look = () => {
    const next = nextPass();
    reconciler.lookAnew();
    return next;
  };
  return {
    wanted: numbers.map((n) => route(subnetOf(n), addressOf(n))),
    ...{ look, nextPass },
    async untilRight() {
      const deadlineMs = performance.now() + PATIENCE_MS;
      while (performance.now() < deadlineMs) {
        const { items } = await look();
        if (items.length === count && items.every(({ state }) => state === "ok")) return;
      }
      throw new Error("the table is still not right");
    },
    [Symbol.asyncDispose]: () => reconciler[Symbol.asyncDispose](),
  };
}
