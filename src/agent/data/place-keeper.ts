import { isDeepStrictEqual } from "node:util";
import type { HostAddress } from "../../backend/backend.ts";
import type { BackendRegistry } from "../../backend/registry.ts";
import type { Cancel, Clock } from "../../base/clock.ts";
import { asDenimError, DenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import {
  chooseInterface,
  type ChosenInterface,
  type InterfaceWish,
} from "../../host/interfaces.ts";
import { type Family, formatAddress } from "../../ip/address.ts";
import { type NetworkConfig, parseNetworkConfig } from "../../lease/network.ts";
import type { LeaseAttributes } from "../../lease/records.ts";
import type { KernelState } from "../../plan/kernel.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import { attributesOf, familiesOf, type Place, placeAt } from "./place.ts";
import type { Preparation } from "./preparation.ts";

export interface PlaceKeeperOptions {
  readonly backends: BackendRegistry;
  readonly wish: InterfaceWish;
  readonly identity: IdentityFolder;
  readonly preparation?: Preparation | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What peers are to be told has changed; true where that is an address of this host. */
  readonly onAttributes: (hasMoved: boolean) => void;
  /** Something has lasted long enough: it is time to look again. */
  readonly onLasting: () => void;
}

/** The kernel is looked after meanwhile. */
const PREPARATION_PATIENCE_MS = 1_000;

/** The cluster hears of what lasts. */
const TELL_AFTER_MS = 200;

/**
 * An address, or the route that the interface was chosen by, may be away for a moment: a lease is
 * renewed, a manager starts anew, a VPN comes up. Whoever followed it at once would take all routes
 * down, and send peers to an address that is about to move on.
 */
const MOVE_AFTER_MS = { address: 3_000, link: 5_000 } as const;

/**
 * Where this host stands in the network. The interface is chosen anew whenever the kernel was read:
 * what it depends on may be different by then. What cannot be found leaves everything as it was.
 */
export class PlaceKeeper {
  readonly #options: PlaceKeeperOptions;
  /** The network config's text that a place is kept for; what does not fit changes nothing. */
  network: string | undefined;
  #place: Place | undefined;
  /** What {@link network} was when the place was found. */
  #foundFor: string | undefined;
  #failure: DenimError | undefined;
  readonly #stop = new AbortController();
  #told: LeaseAttributes | undefined;
  #telling: Cancel | undefined;
  /** Where this host would be by now, and since when. */
  #move: { readonly to: string; readonly sinceMs: number; readonly cancel: Cancel } | undefined;

  constructor(options: PlaceKeeperOptions) {
    this.#options = options;
  }

  get place(): Place | undefined {
    return this.#place;
  }

  /** Why the place is not what was asked for, but the former one or the next best. */
  get failure(): DenimError | undefined {
    return this.#failure;
  }

  attributes(): LeaseAttributes {
    if (this.#place !== undefined) return attributesOf(this.#place);
    throw new DenimError("INTERFACE_NOT_FOUND", "The data interface is not known yet");
  }

  /**
   * Finds the first place of a host that is in the network: one with an address in each family, as
   * it had when it came; else, as half a network is more than none, with an address in one.
   *
   * @throws `INTERFACE_NOT_FOUND` `CONFIG_INVALID`
   */
  async prepare(network: string, kernel: KernelState, signal?: AbortSignal): Promise<void> {
    const { backends, wish, preparation } = this.#options;
    const config = parseNetworkConfig(network, { unknownKeys: "keep" });
    const families = familiesOf(config);
    const { found, missed } = first([
      () => chooseInterface(kernel, wish, { families }),
      ...families.map((family) => () => chooseInterface(kernel, wish, { families: [family] })),
    ]);
    const place = await placeAt(found, config, {
      ...{ backends, preparation, seed: await this.#seed() },
      ...(signal === undefined ? {} : { signal }),
    });
    this.#note(missed, `the data interface is ${found.link.name}, for now ${spoken(place)}`);
    this.network = network;
    this.#foundFor = network;
    this.#place = place;
    this.#told = attributesOf(place);
  }

  /** Looks again, at little cost while nothing has changed. True where the place is another now. */
  async look(kernel: KernelState): Promise<boolean> {
    const [before, network] = [this.#place, this.network];
    if (before === undefined || network === undefined) return false;
    try {
      const config = parseNetworkConfig(network, { unknownKeys: "keep" });
      const { found, missed } = this.#choose(before, config, kernel);
      if (network === this.#foundFor && this.#mayPass(before, found)) return false;
      const isSame = network === this.#foundFor && isAt(before, found);
      const { backends, preparation, onLasting } = this.#options;
      const place = isSame ? before : await placeAt(found, config, {
        ...{ backends, preparation, seed: await this.#seed() },
        signal: this.#stop.signal,
        patience: { ms: PREPARATION_PATIENCE_MS, onDone: onLasting },
      });
      this.#note(missed, `the data interface stays ${found.link.name}`);
      this.#foundFor = network;
      if (!isSame) this.#take(before, place);
      return !isSame;
    } catch (error) {
      const isNew = network !== this.#foundFor;
      const what = isNew ? "the new network config" : "the data interface as it is now";
      this.#note(asDenimError(error), `${what} does not fit this host: all stays as it was`);
      return false;
    }
  }

  stop(): void {
    this.#stop.abort();
    this.#telling?.();
    this.#move?.cancel();
  }

  /** True while another address or link has not lasted long enough to be followed. */
  #mayPass({ host }: Place, { link, addresses }: ChosenInterface): boolean {
    const isOtherLink = link.name !== host.link.name;
    const moves = isOtherLink || !isDeepStrictEqual(addresses, host.addresses);
    const to = moves ? nameOf(link.name, addresses) : undefined;
    if (this.#move?.to !== to) {
      this.#move?.cancel();
      this.#move = undefined;
    }
    if (to === undefined) return false;
    const { clock, logger, onLasting } = this.#options;
    const afterMs = isOtherLink ? MOVE_AFTER_MS.link : MOVE_AFTER_MS.address;
    if (this.#move === undefined) {
      const from = nameOf(host.link.name, host.addresses);
      logger.info("the data interface may change", { from, to, afterMs });
      const cancel = clock.after(afterMs, onLasting);
      this.#move = { to, sinceMs: clock.monotonicMs(), cancel };
    }
    return clock.monotonicMs() - this.#move.sinceMs < afterMs;
  }

  /**
   * By the operator's wish; where that finds nothing any more, the interface that is in use, as
   * long as it has addresses: a default route that went is no reason to miss an address that came.
   * A family that has been away since the start is done without for as long.
   *
   * @throws `INTERFACE_NOT_FOUND` when none of them is there
   */
  #choose({ host, why }: Place, config: NetworkConfig, kernel: KernelState): Choice {
    const { wish } = this.#options;
    const { publicIps = [] } = wish;
    const link = host.link.name;
    const former = { link, addresses: host.addresses.map(({ address }) => address) };
    const inUse = { iface: link, publicIps };
    const all = familiesOf(config);
    const some = host.addresses.map(({ family }) => family).filter((one) => all.includes(one));
    const by = (wish: InterfaceWish, families: readonly Family[]) =>
      chooseInterface(kernel, wish, { families, former });
    return first([
      () => by(wish, all),
      () => ({ ...by(inUse, all), why }),
      ...(some.length === 0 || some.length === all.length ? [] : [
        () => by(wish, some),
        () => ({ ...by(inUse, some), why }),
      ]),
    ]);
  }

  #take(before: Place, place: Place): void {
    this.#place = place;
    const [from, to] = [textOf(before), textOf(place)];
    if (from !== to) {
      const { logger } = this.#options;
      logger.info("the data interface has changed", { from, to, chosen: place.why });
    }
    this.#telling ??= this.#options.clock.after(TELL_AFTER_MS, () => {
      this.#telling = undefined;
      const [before, now] = [this.#told, this.attributes()];
      if (isDeepStrictEqual(before, now)) return;
      this.#told = now;
      const isThere = before?.publicIp === now.publicIp && before.publicIpv6 === now.publicIpv6;
      this.#options.onAttributes(!isThere);
    });
  }

  /** Said once for as long as it lasts. */
  #note(failure: DenimError | undefined, what: string): void {
    const before = this.#failure;
    this.#failure = failure;
    if (failure === undefined) return;
    const { message, why, fix } = failure;
    if (before?.message === message && before.why === why) return;
    this.#options.logger.warn(what, { message, why, fix });
  }

  async #seed(): Promise<string> {
    return (await this.#options.identity.read("secret"))!.seed;
  }
}

/** What was found, and why it is not what was asked for. */
interface Choice {
  readonly found: ChosenInterface;
  readonly missed?: DenimError;
}

/** The first that finds something. @throws what the very first says, where none does */
function first(choices: readonly (() => ChosenInterface)[]): Choice {
  let missed: DenimError | undefined;
  for (const choose of choices) {
    try {
      const found = choose();
      return missed === undefined ? { found } : { found, missed };
    } catch (error) {
      missed ??= asDenimError(error);
    }
  }
  throw missed;
}

function spoken({ host: { addresses } }: Place): string {
  return `with ${addresses.map(({ family }) => `IPv${family}`).join(" and ")} alone`;
}

function isAt({ host, why }: Place, found: ChosenInterface): boolean {
  const { name, index, mtu } = found.link;
  const { addresses, onLink } = found;
  const now = { link: { name, index, mtu }, addresses, onLink, secret: host.secret };
  return why === found.why && isDeepStrictEqual(now, host);
}

function textOf({ host: { link, addresses }, mtu }: Place): string {
  return `${nameOf(link.name, addresses)} (index ${link.index}, MTU ${mtu})`;
}

function nameOf(link: string, addresses: readonly HostAddress[]): string {
  return `${link} ${addresses.map(({ address }) => formatAddress(address)).join(" ")}`;
}
