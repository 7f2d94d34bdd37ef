import type { Backend, Json, LeftOut, Peer } from "../../backend/backend.ts";
import { checkPlan } from "../../backend/plan-check.ts";
import { checkProgramUse } from "../../backend/program-check.ts";
import type { BackendSource } from "../../backend/registry.ts";
import type { DroppedPeer } from "../../backend/scene.ts";
import type { Clock } from "../../base/clock.ts";
import { asDenimError } from "../../base/errors.ts";
import { BackendWorker } from "./backend-worker.ts";
import { type BackendFolder, findBackend, listBackends } from "./folder.ts";

export interface ForeignBackendsOptions {
  /** One folder for each. */
  readonly dir: string;
  readonly clock: Clock;
}

/** The backends that somebody has put into a directory, each in a thread of its own. */
export class ForeignBackends implements BackendSource, AsyncDisposable {
  readonly #options: ForeignBackendsOptions;
  readonly #workers = new Map<string, BackendWorker>();

  constructor(options: ForeignBackendsOptions) {
    this.#options = options;
  }

  get place(): string {
    return this.#options.dir;
  }

  get names(): readonly string[] {
    return listBackends(this.#options.dir).map(({ name }) => name);
  }

  /** One that is there by now. It is loaded when it is first asked something. */
  find(name: string): Backend | undefined {
    const folder = findBackend(this.#options.dir, name);
    if (folder === undefined) return undefined;
    const { clock } = this.#options;
    const worker = this.#workers.get(name) ?? new BackendWorker({ folder, clock });
    this.#workers.set(name, worker);
    return foreignBackend(folder, worker);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const workers = [...this.#workers.values()];
    await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
  }
}

/**
 * A backend as the rest of the program knows it. Config and data stay JSON on this side, and are
 * read where the backend is.
 */
export function foreignBackend({ name }: BackendFolder, worker: BackendWorker): Backend<Json> {
  return {
    contract: 1,
    name,
    parseConfig: (json) => json,
    parseData: (json) => json,
    programs: (config) =>
      worker.ask("programs", { config }, (use) => whyRefused(() => checkProgramUse(use))),
    publish: (host, config) =>
      worker.ask("publish", { host, config }, (published) => {
        return wrongPublication(published, host.link.mtu);
      }),
    async plan(scene) {
      const { plan, dropped } = await worker.ask("plan", scene, ({ plan }) => {
        return whyRefused(() => checkPlan(plan, scene));
      });
      return dropped.length === 0 ? plan : [...plan, ...leftOutOf(dropped, scene.peers)];
    },
  };
}

function whyRefused(check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    const { why, message } = asDenimError(error);
    return why ?? message;
  }
}

function wrongPublication(published: unknown, linkMtu: number): string | undefined {
  const { data, mtu } = (published ?? {}) as { data?: unknown; mtu?: unknown };
  if (typeof mtu !== "number" || !Number.isInteger(mtu) || mtu <= 0 || mtu > linkMtu) {
    return `it gave the MTU ${String(mtu)}, and the link has ${linkMtu}`;
  }
  if (data === undefined) return "it gave no data; a backend with nothing to tell says null";
  try {
    JSON.stringify(data);
    return undefined;
  } catch (error) {
    return `its data cannot be JSON: ${asDenimError(error).message.split("\n")[0]}`;
  }
}

/** Whose data cannot be read is not routed, and whoever looks for the route finds why. */
function leftOutOf(dropped: readonly DroppedPeer[], peers: readonly Peer<unknown>[]): LeftOut[] {
  const why = new Map(dropped.map((peer) => [peer.node, peer.why]));
  return peers.filter(({ node }) => why.has(node)).flatMap(({ node, subnets }) =>
    subnets.map((destination) => ({
      kind: "left-out" as const,
      destination,
      why: `what ${node} has published cannot be read: ${why.get(node)}`,
    }))
  );
}
