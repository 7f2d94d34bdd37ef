import type { Cancel, Clock } from "../../base/clock.ts";
import { asDenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { equalPrefix, formatPrefix, parsePrefix, type Prefix } from "../../ip/prefix.ts";
import type { NetworkConfig } from "../../lease/network.ts";
import { type PacketFilter, type RuleReport, rulesOf } from "../../plan/packet-filter.ts";
import type { NetworkRules } from "../../plan/rules.ts";

/** What is known right now of what should stand; one pass works with one of these. */
export interface WantedRules {
  readonly rules: readonly NetworkRules[];
  /** Every network that this data directory ever programmed. */
  readonly networks: readonly Prefix[];
  /** A leader stands behind it: what it lacks may go. */
  readonly confirmed: boolean;
}

export interface PacketRulesOptions {
  readonly filter: PacketFilter;
  readonly clock: Clock;
  readonly log: Logger;
  /** `undefined`: nothing is known yet, so nothing is done. */
  readonly wanted: () => WantedRules | undefined;
}

/** Looking may take a tenth of one core, however many rules others have and change. */
const TIME_PER_COST = 10;

/** What failed is tried again. */
const RETRY_MS = 5_000;

/** Whoever waits for the first pass waits no longer than this for tools that hang. */
const PATIENCE_MS = 1_000;

/**
 * Keeps this host's rules in the packet filter: looks at what stands, replaces what differs, looks
 * again. On levels and not on events, as the reconciler. Stopping it removes nothing: containers go
 * on. What it fails at is to be seen, and holds up nothing else.
 */
export class PacketRules implements AsyncDisposable {
  readonly #options: PacketRulesOptions;
  readonly #masqueraded = Promise.withResolvers<void>();
  #reports: readonly RuleReport[] = [];
  /** For what the last pass was, as text. */
  #wanted: string | undefined;
  /** Networks of former days whose rules are gone. */
  #dropped = "";
  #unwatch: (() => void) | undefined;
  #patience: Cancel | undefined;
  #wake: { readonly atMs: number; readonly cancel: Cancel } | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #notBeforeMs = -Infinity;
  #stopped = false;
  /** What does not work, as long as it does not. */
  #warned: ReadonlyMap<string, string> = new Map();

  constructor(options: PacketRulesOptions) {
    this.#options = options;
  }

  /** How the rules stand since the last pass. */
  get reports(): readonly RuleReport[] {
    return this.#reports;
  }

  start(): void {
    this.#unwatch = this.#options.filter.watch(() => this.trigger());
    this.#patience = this.#options.clock.after(PATIENCE_MS, () => this.#masqueraded.resolve());
    this.refresh();
  }

  /** Something may have changed: look soon. */
  trigger(): void {
    if (this.#running !== undefined) this.#again = true;
    else this.#wakeAt(Math.max(this.#notBeforeMs, this.#options.clock.monotonicMs()));
  }

  /** The lease or the network config may be another. Cheap where they are not. */
  refresh(): void {
    const wanted = this.#options.wanted();
    if (wanted !== undefined && textOf(wanted) !== this.#wanted) this.trigger();
  }

  /**
   * Whether containers are masqueraded by Denim, and need not be by their runtime. Resolves after
   * the first try: the first connection of a container that starts then is masqueraded already.
   */
  async masquerades(): Promise<boolean> {
    if (!(this.#options.wanted()?.rules ?? []).some(({ masquerade }) => masquerade)) return false;
    await this.#masqueraded.promise;
    const reports = this.#reports.filter(({ kind }) => kind === "masquerade");
    return reports.length > 0 && reports.every(({ error }) => error === undefined);
  }

  /** Takes back all rules of this data directory's networks. @returns what did not go */
  async withdraw(networks: readonly Prefix[]): Promise<readonly string[]> {
    await this[Symbol.asyncDispose]();
    const { filter } = this.#options;
    return await filter.remove(rulesOf(networks, await filter.list()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#unwatch?.();
    this.#patience?.();
    this.#wake?.cancel();
    await this.#running;
    this.#masqueraded.resolve();
  }

  #wakeAt(atMs: number): void {
    if (this.#stopped || (this.#wake !== undefined && this.#wake.atMs <= atMs)) return;
    this.#wake?.cancel();
    const { clock } = this.#options;
    const turn = () => {
      this.#wake = undefined;
      this.#running = this.#turn();
    };
    this.#wake = { atMs, cancel: clock.after(Math.max(0, atMs - clock.monotonicMs()), turn) };
  }

  /** One pass, and the date of the next. */
  async #turn(): Promise<void> {
    const { clock, filter } = this.#options;
    const startedMs = clock.monotonicMs();
    try {
      await this.#pass();
    } catch (error) {
      const { message, why } = asDenimError(error);
      this.#warn(new Map([["Cannot look after the packet filter", why ?? message]]));
    }
    const endedMs = clock.monotonicMs();
    this.#notBeforeMs = endedMs + (endedMs - startedMs) * TIME_PER_COST;
    const isFine = this.#warned.size === 0;
    const periodMs = isFine ? filter.periodMs : Math.min(RETRY_MS, filter.periodMs);
    const dueMs = this.#again ? this.#notBeforeMs : endedMs + periodMs;
    this.#again = false;
    this.#running = undefined;
    this.#wakeAt(dueMs);
  }

  async #pass(): Promise<void> {
    const { filter, wanted } = this.#options;
    const now = wanted();
    if (now === undefined) return;
    this.#wanted = textOf(now);
    const masquerade = await filter.masquerade(now.rules);
    this.#reports = masquerade;
    this.#masqueraded.resolve();
    this.#reports = [...masquerade, ...await filter.forward(now.rules)];
    this.#tell(now.confirmed ? await this.#dropFormer(now) : []);
  }

  /**
   * The network is another one now: the rules of the former would go on masquerading.
   *
   * @returns what could not be removed
   */
  async #dropFormer({ rules, networks }: WantedRules): Promise<readonly string[]> {
    const former = networks.filter((network) =>
      !rules.some((current) => equalPrefix(current.network, network))
    );
    const text = former.map(formatPrefix).join();
    if (text === this.#dropped) return [];
    const { filter } = this.#options;
    const failures = await filter.remove(rulesOf(former, await filter.list()));
    if (failures.length === 0) this.#dropped = text;
    return failures;
  }

  /** Says what is new, and each trouble once for as long as it lasts. */
  #tell(leftovers: readonly string[]): void {
    const { log } = this.#options;
    const troubles = new Map<string, string>();
    for (const { kind, network, tool, changed, error } of this.#reports) {
      if (changed) log.info(`Rules changed: ${kind}`, { network, tool });
      if (error !== undefined) troubles.set(`Cannot ${kind} ${network} by ${tool}`, error);
    }
    const left = leftovers.join("; ");
    if (left !== "") troubles.set("Cannot remove rules of a former network", left);
    this.#warn(troubles);
  }

  #warn(troubles: ReadonlyMap<string, string>): void {
    for (const [message, error] of troubles) {
      if (this.#warned.get(message) !== error) this.#options.log.warn(message, { error });
    }
    this.#warned = troubles;
  }
}

/** What a network config and a lease come to, family by family. */
export function networkRules(
  config: NetworkConfig,
  subnets: readonly string[],
  switches: Pick<NetworkRules, "masquerade" | "forward">,
): readonly NetworkRules[] {
  const own = subnets.map(parsePrefix);
  return config.pools.map(({ network }) => {
    const isOfFamily = ({ family }: Prefix) => family === network.family;
    const exempt = config.masqExempt.filter(isOfFamily);
    return { network, subnets: own.filter(isOfFamily), exempt, ...switches };
  });
}

function textOf({ rules, networks, confirmed }: WantedRules): string {
  const lines = rules.map(({ network, subnets, exempt, masquerade, forward }) => {
    const [own, apart] = [subnets, exempt].map((list) => list.map(formatPrefix).join());
    return [formatPrefix(network), own, apart, masquerade, forward].join(" ");
  });
  return [...lines, ...networks.map(formatPrefix), confirmed].join("\n");
}
