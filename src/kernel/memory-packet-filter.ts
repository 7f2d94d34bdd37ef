import { formatPrefix } from "../ip/prefix.ts";
import { forwardChainName } from "../plan/iptables.ts";
import { nftTableOf } from "../plan/nftables.ts";
import type { OwnRules, PacketFilter, RuleReport } from "../plan/packet-filter.ts";
import type { NetworkRules } from "../plan/rules.ts";

/** A packet filter without a kernel. Tests play the rest of the machine through its methods. */
export class MemoryPacketFilter implements PacketFilter {
  readonly periodMs = 30_000;
  /** What masquerades; `undefined` plays a host without any tool. */
  tool: string | undefined = "nftables";
  /** FORWARD drops what nobody accepts. */
  drops = false;
  /** What the tool answers to every change. */
  refusal: string | undefined;
  /** What stands, by name, as a text that says all of it. */
  readonly standing = new Map<string, { readonly rules: OwnRules; readonly text: string }>();
  readonly #watchers = new Set<() => void>();

  masqueradesBy(): Promise<string | undefined> {
    return Promise.resolve(this.tool);
  }

  masquerade(wanted: readonly NetworkRules[]): Promise<readonly RuleReport[]> {
    return Promise.resolve(wanted.flatMap((rules) => {
      const { name, family } = nftTableOf(rules.network);
      const own = { tool: this.tool ?? "none", family, name };
      return this.#ensure("masquerade", rules, own, rules.masquerade);
    }));
  }

  forward(wanted: readonly NetworkRules[]): Promise<readonly RuleReport[]> {
    return Promise.resolve(wanted.flatMap((rules) => {
      const { network: { family } } = rules;
      const own = { tool: "iptables", family, name: forwardChainName(rules.network) };
      return this.#ensure("forward", rules, own, rules.forward && this.drops);
    }));
  }

  list(): Promise<readonly OwnRules[]> {
    return Promise.resolve([...this.standing.values()].map(({ rules }) => rules));
  }

  remove(rules: readonly OwnRules[]): Promise<readonly string[]> {
    if (this.refusal !== undefined) return Promise.resolve(rules.map(() => this.refusal!));
    for (const { name } of rules) this.standing.delete(name);
    return Promise.resolve([]);
  }

  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => void this.#watchers.delete(onChange);
  }

  /** Plays somebody who empties everything; `quietly`: without an event. */
  flush(quietly = false): void {
    this.standing.clear();
    if (!quietly) { for (const onChange of this.#watchers) onChange(); }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#watchers.clear();
    return Promise.resolve();
  }

  #ensure(
    kind: RuleReport["kind"],
    rules: NetworkRules,
    own: OwnRules,
    isWanted: boolean,
  ): RuleReport[] {
    const report = { kind, network: formatPrefix(rules.network), tool: own.tool };
    const text = textOf(rules);
    const stands = this.standing.get(own.name)?.text;
    if (stands === (isWanted ? text : undefined)) {
      return isWanted ? [{ ...report, changed: false }] : [];
    }
    const error = this.refusal ?? (this.tool === undefined ? "there is no tool" : undefined);
    if (error !== undefined) return [{ ...report, changed: false, error }];
    if (isWanted) this.standing.set(own.name, { rules: own, text });
    else this.standing.delete(own.name);
    return [{ ...report, changed: true }];
  }
}

function textOf({ network, subnets, exempt }: NetworkRules): string {
  const [own, apart] = [subnets, exempt].map((list) => list.map(formatPrefix).join());
  return `${formatPrefix(network)} own ${own} exempt ${apart}`;
}
