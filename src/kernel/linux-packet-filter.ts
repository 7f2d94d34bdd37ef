import { asDenimError } from "../base/errors.ts";
import type { Family } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import {
  type Chain,
  forwardChain,
  forwardChainName,
  forwardJumpFrom,
  installScript,
  mayStandFor,
  natChain,
  natChainName,
  ownChains,
  removalScript,
  type SavedTable,
  standingChain,
  type Table,
  wantedChain,
} from "../plan/iptables.ts";
import {
  formatNftTable,
  mayListAs,
  nftablesText,
  type NftTable,
  nftTableOf,
  readNftTables,
} from "../plan/nftables.ts";
import type { OwnRules, PacketFilter, RuleReport } from "../plan/packet-filter.ts";
import type { NetworkRules } from "../plan/rules.ts";
import { Iptables } from "./iptables.ts";
import { openLibc } from "./libc.ts";
import { type Libnftables, openLibnftables } from "./libnftables.ts";
import { EventSocket } from "./socket.ts";

/** `linux/netlink.h` */
const NETLINK_NETFILTER = 12;
/** `linux/netfilter/nfnetlink.h`: NFNLGRP_NFTABLES is the seventh group. */
const NFTABLES_GROUP = 1 << 6;

const FAMILIES = [4, 6] as const;
const TABLES = ["nat", "filter"] as const;

/** The older interface of iptables tells nobody: as often as flannel looks, milliseconds. */
const PERIOD_SILENT_MS = 5_000;
/** The safety net under the kernel's events. */
const PERIOD_MS = 30_000;

export interface PacketFilterOptions {
  /** @default the library, where the host has it */
  readonly nftables?: () => Promise<Libnftables | undefined>;
  /** @default what the host has */
  readonly iptables?: (family: Family) => Promise<readonly Iptables[]>;
}

/**
 * The packet filter of the network namespace that it is first used in. Masquerading is a table of
 * nftables, replaced as a whole, or where the library is missing a chain of iptables. A table can
 * only take packets away from others, never save them from being dropped by those; so what a
 * FORWARD chain drops is accepted in that chain, by the program that it was made with.
 */
export class LinuxPacketFilter implements PacketFilter {
  readonly #options: PacketFilterOptions;
  readonly #programs = new Map<Family, readonly Iptables[]>();
  /** By table or chain: what was wanted, and how the tools print it. */
  readonly #printed = new Map<string, { readonly wanted: string; readonly standing: string }>();
  readonly #closing: Promise<void>[] = [];
  #library: Promise<Libnftables | undefined> | undefined;
  #hasEvents = false;

  constructor(options: PacketFilterOptions = {}) {
    this.#options = options;
  }

  get periodMs(): number {
    const programs = [...this.#programs.values()].flat();
    const isTold = this.#hasEvents && !programs.some((program) => program.isSilent);
    return isTold ? PERIOD_MS : PERIOD_SILENT_MS;
  }

  async masqueradesBy(): Promise<string | undefined> {
    if (await this.#nftables() !== undefined) return "nftables";
    return (await this.#iptables(4))[0]?.name;
  }

  async masquerade(wanted: readonly NetworkRules[]): Promise<readonly RuleReport[]> {
    const library = await this.#nftables();
    const reports: RuleReport[] = [];
    for (const rules of wanted) {
      if (library !== undefined) reports.push(...this.#ensureTable(library, rules));
      else reports.push(...await this.#ensureNat(rules));
    }
    return reports;
  }

  async forward(wanted: readonly NetworkRules[]): Promise<readonly RuleReport[]> {
    const reports: RuleReport[] = [];
    for (const rules of wanted) {
      const chain = rules.forward ? forwardChain(rules) : forwardChainName(rules.network);
      const report = about("forward", rules);
      for (const program of await this.#iptables(rules.network.family)) {
        reports.push(
          ...await this.#ensureChain(program, "filter", chain, report, forwardJumpFrom),
          ...await this.#dropFormerNat(program, rules),
        );
      }
    }
    return reports;
  }

  async list(): Promise<readonly OwnRules[]> {
    const found: OwnRules[] = ownTables(await this.#nftables())
      .map(({ family, name }) => ({ tool: "nftables", family, name }));
    for (const family of FAMILIES) {
      for (const program of await this.#iptables(family)) {
        for (const table of TABLES) {
          const names = ownChains(await program.save(table));
          found.push(...names.map((name) => ({ tool: program.name, family, table, name })));
        }
      }
    }
    return found;
  }

  async remove(rules: readonly OwnRules[]): Promise<readonly string[]> {
    const failures: string[] = [];
    for (const { tool, family, table, name } of rules) {
      const program = (await this.#iptables(family)).find((program) => program.name === tool);
      const library = await this.#nftables();
      try {
        if (table === undefined) library?.run(`delete table ${formatNftTable({ family, name })}`);
        else await program?.restore(removalScript(await program.save(table), table, name));
      } catch (error) {
        failures.push(`${tool} ${name}: ${wordsOf(error)}`);
      }
    }
    return failures;
  }

  watch(onChange: () => void): () => void {
    const opening = openLibc().then((libc) => {
      const events = new EventSocket(libc, NFTABLES_GROUP, { protocol: NETLINK_NETFILTER });
      events.listen(() => onChange());
      this.#hasEvents = true;
      return events;
    });
    // A kernel without nftables has no events; whoever watches looks now and then anyway.
    opening.catch(() => {});
    return () => {
      this.#closing.push(opening.then((events) => events.close(), () => {}));
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#closing);
    (await this.#library)?.close();
  }

  #ensureTable(library: Libnftables, rules: NetworkRules): RuleReport[] {
    const table = nftTableOf(rules.network);
    const key = formatNftTable(table);
    const report = { ...about("masquerade", rules), tool: "nftables" };
    try {
      const standing = listed(library, key);
      if (!rules.masquerade) {
        if (standing === undefined) return [];
        library.run(`delete table ${key}`);
        return [{ ...report, changed: true }];
      }
      const text = nftablesText(rules);
      if (this.#isPrinted(key, text, standing)) return [{ ...report, changed: false }];
      library.run(text);
      const after = library.run(`list table ${key}`);
      if (mayListAs(after, text)) this.#printed.set(key, { wanted: text, standing: after });
      return [{ ...report, changed: true }];
    } catch (error) {
      return [{ ...report, changed: false, error: wordsOf(error) }];
    }
  }

  async #ensureNat(rules: NetworkRules): Promise<RuleReport[]> {
    const report = about("masquerade", rules);
    const [program] = await this.#iptables(rules.network.family);
    if (program !== undefined) {
      const chain = rules.masquerade ? natChain(rules) : natChainName(rules.network);
      return await this.#ensureChain(program, "nat", chain, report, () => "POSTROUTING");
    }
    if (!rules.masquerade) return [];
    const error = "this host has neither libnftables nor iptables";
    return [{ ...report, tool: "none", changed: false, error }];
  }

  /** A chain of a time when this host had no libnftables: now its table does that. Once. */
  async #dropFormerNat(program: Iptables, rules: NetworkRules): Promise<RuleReport[]> {
    const name = natChainName(rules.network);
    const key = `${program.name} ${name}`;
    if (await this.#nftables() === undefined || this.#printed.has(key)) return [];
    this.#printed.set(key, { wanted: "", standing: "" });
    const report = about("masquerade", rules);
    return await this.#ensureChain(program, "nat", name, report, () => undefined);
  }

  /** `chain` is a name where there should be none; so is one that has no place to come from. */
  async #ensureChain(
    program: Iptables,
    table: Table,
    chain: Chain | string,
    about: Pick<RuleReport, "kind" | "network">,
    jumpFrom: (saved: SavedTable) => string | undefined,
  ): Promise<RuleReport[]> {
    const report = { ...about, tool: program.name };
    try {
      const saved = await program.save(table);
      const from = typeof chain === "string" ? undefined : jumpFrom(saved);
      if (typeof chain === "string" || from === undefined) {
        const name = typeof chain === "string" ? chain : chain.name;
        if (!saved.chains.has(name)) return [];
        await program.restore(removalScript(saved, table, name));
        return [{ ...report, changed: true }];
      }
      const key = `${program.name} ${chain.name}`;
      const wanted = wantedChain(chain, from);
      const standing = standingChain(saved, chain.name);
      if (standing === wanted || this.#isPrinted(key, wanted, standing)) {
        return [{ ...report, from, changed: false }];
      }
      await program.restore(installScript(saved, chain, from));
      const after = standingChain(await program.save(table), chain.name);
      if (after !== undefined && mayStandFor(after, wanted)) {
        this.#printed.set(key, { wanted, standing: after });
      }
      return [{ ...report, from, changed: true }];
    } catch (error) {
      return [{ ...report, changed: false, error: wordsOf(error) }];
    }
  }

  /**
   * The tools print rules in words of their own, and other versions in others. What they printed
   * right after a change is what stands for as long as they say the same; unless somebody was
   * quicker, and it is not all of it.
   */
  #isPrinted(key: string, wanted: string, standing: string | undefined): boolean {
    const printed = this.#printed.get(key);
    return standing !== undefined && printed?.wanted === wanted && printed.standing === standing;
  }

  #nftables(): Promise<Libnftables | undefined> {
    return (this.#library ??= usable(this.#options.nftables ?? openLibnftables));
  }

  /** Looked for again while there is none: Docker may bring it. */
  async #iptables(family: Family): Promise<readonly Iptables[]> {
    const known = this.#programs.get(family) ?? [];
    if (known.length > 0) return known;
    const { iptables = Iptables.find } = this.#options;
    const found = await iptables(family);
    this.#programs.set(family, found);
    return found;
  }
}

/** The library, on a kernel that has nftables as well. */
async function usable(
  open: () => Promise<Libnftables | undefined>,
): Promise<Libnftables | undefined> {
  const library = await open();
  try {
    library?.run("list tables");
    return library;
  } catch {
    library?.close();
    return undefined;
  }
}

/**
 * One table as it is printed; `undefined` where there is none. To list all tables first would have
 * the library read all rules of everybody: with kube-proxy's ten thousand that takes half a second.
 */
function listed(library: Libnftables, table: string): string | undefined {
  try {
    return library.run(`list table ${table}`);
  } catch (error) {
    if (/No such file or directory/.test(wordsOf(error))) return undefined;
    throw error;
  }
}

function ownTables(library: Libnftables | undefined): NftTable[] {
  return readNftTables(library?.run("list tables") ?? "");
}

function about(
  kind: RuleReport["kind"],
  { network }: Pick<NetworkRules, "network">,
): Pick<RuleReport, "kind" | "network"> {
  return { kind, network: formatPrefix(network) };
}

function wordsOf(error: unknown): string {
  const { message, why } = asDenimError(error);
  return why ?? message;
}
