/** A cluster grows from one host to seven and shrinks to one again, by joins and leaves at random. */
import t from "tap";
import { ApiClient } from "../../src/api/client.ts";
import { sleep, systemClock } from "../../src/base/clock.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import type { Status } from "../../src/raft/mod.ts";
import {
  cannotLab,
  eventually,
  found,
  makeLab,
  makeToken,
  onNode,
  ownRoutes,
  subnetOf,
  untilReady,
  untilRouted,
} from "../support/lab.ts";
import { leasesOf } from "../support/servers.ts";
import { makeTokens, reserveSubnets } from "./chaos-clients.ts";
import { between } from "./chaos-faults.ts";

const SEED = 7;
const HOSTS = 7;
/** On the way up and on the way down somebody goes, or comes, against the stream. */
const DETOURS = 2;
const PAUSE_MS = [0, 700] as const;
const WRITERS = 3;
/** Renewals are lease writes, too: at seven hosts more than two a second. */
const NETWORK = JSON.stringify({ Network: "10.244.0.0/16", LeaseTTL: "9s" });
/** Ten times three rounds of the planner, which looks every half second. */
const EVEN_MS_MAX = 15_000;
const CAUGHT_UP_ENTRIES = 64;

const clock = systemClock();

/** Looks at all servers all the time, and remembers what must not be. */
class Watch {
  readonly failures: string[] = [];
  readonly #hosts: readonly Host[];
  /** By term: the raft id of who was seen to lead. */
  readonly #leaders = new Map<number, number>();
  /** Since when the leader of this term has had an even number of voters that it could mend. */
  #even: { readonly term: number; readonly sinceMs: number } | undefined;
  looks = 0;
  voters = 0;

  constructor(hosts: readonly Host[]) {
    this.#hosts = hosts;
  }

  async run(signal: AbortSignal): Promise<void> {
    for (; !signal.aborted; await sleep(clock, 100, signal)) {
      const views = await Promise.all(
        this.#hosts.map((host) => host.get("/v1/raft").catch(() => undefined)),
      );
      for (const view of views as (Status | undefined)[]) {
        if (view?.role === "leader") this.#look(view);
      }
    }
  }

  get terms(): number {
    return this.#leaders.size;
  }

  #look({ id, term, configuration: { voters }, progress, commit }: Status): void {
    this.looks++;
    this.voters = Math.max(this.voters, voters.length);
    const known = this.#leaders.get(term) ?? id;
    this.#leaders.set(term, known);
    if (known !== id) this.failures.push(`${known} and ${id} lead in term ${term}`);
    const canMend = progress.some(({ learner, state, match, silentTicks }) =>
      learner && state === "replicate" && match + CAUGHT_UP_ENTRIES >= commit && silentTicks < 20
    );
    if (voters.length % 2 === 1 || !canMend) this.#even = undefined;
    else if (this.#even?.term !== term) this.#even = { term, sinceMs: clock.monotonicMs() };
    else if (clock.monotonicMs() - this.#even.sinceMs > EVEN_MS_MAX) {
      this.failures.push(`${voters.length} voters for thirty rounds in term ${term}`);
    }
  }
}

/** What is done with hosts. `up` is those that are in, a list that others look at too. */
class Fleet {
  readonly up: Host[] = [];
  readonly out: Host[] = [];
  /** Subnets that hosts wanted to have again, and did not get. */
  readonly missed: string[] = [];
  readonly #kept = new Map<Host, string>();
  readonly #random: Random;
  #token = "";

  constructor(random: Random) {
    this.#random = random;
  }

  async begin(lab: Lab): Promise<void> {
    for (let n = 1; n <= HOSTS; n++) this.out.push(await lab.addHost(`h${n}`));
    const first = this.out.shift()!;
    await found(first, onNode, NETWORK);
    this.#token = await makeToken(first, 50);
    this.up.push(first);
  }

  async join(): Promise<void> {
    const host = take(this.out, this.#random);
    const words = ["join", ...await this.#admitters(), "--foreground"];
    await host.startDaemon(onNode, words, { DENIM_TOKEN: this.#token });
    await untilReady([host]);
    this.up.push(host);
    const [kept, subnet] = [this.#kept.get(host), await subnetOf(host)];
    if (kept !== undefined && kept !== subnet) {
      this.missed.push(`${host.name} had ${kept}, and has ${subnet}`);
    }
  }

  /** What is left on the host afterwards is nothing. */
  async leave(keepLease: boolean): Promise<string[]> {
    const host = take(this.up, this.#random);
    if (keepLease) this.#kept.set(host, await subnetOf(host));
    const path = `/v1/leave?keepLease=${keepLease}`;
    await new ApiClient(host.socketPath).call(path, { method: "POST" });
    const status = await host.daemon!.ended;
    this.out.push(host);
    return [
      ...(await ownRoutes(host)).map((route) => `${host.name} still has ${route}`),
      ...(await host.subnetEnv() === undefined ? [] : [`${host.name} has its subnet file`]),
      ...(status === 0 ? [] : [`${host.name} ended with ${status}`]),
    ];
  }

  pause(): Promise<void> {
    return sleep(clock, between(this.#random, PAUSE_MS));
  }

  /** Members of the group: they can sign. */
  async #admitters(): Promise<string[]> {
    const { items } = await this.up[0]!.get("/v1/nodes") as {
      items: { name: string; role: string }[];
    };
    const members = items.filter(({ role }) => role !== "agent").map(({ name }) => name);
    return this.up.filter(({ name }) => members.includes(name)).map(({ address }) => address);
  }
}

function take<T>(from: T[], random: Random): T {
  return from.splice(random.below(from.length), 1)[0]!;
}

t.test("from one host to seven and back: one leader a term, odd voters, no write lost", {
  skip: cannotLab,
  timeout: 600_000,
}, async (t) => {
  const fleet = new Fleet(seededRandom(SEED));
  await fleet.begin(await makeLab(t));
  const watch = new Watch(fleet.up);
  const over = new AbortController();
  t.teardown(() => over.abort());
  const { signal } = over;
  const writers = Array.from(
    { length: WRITERS },
    (_, i) => makeTokens({ hosts: fleet.up, clock, random: seededRandom(SEED + i), signal }),
  );
  const chance = seededRandom(SEED + WRITERS);
  const reserving = reserveSubnets({ hosts: fleet.up, clock, random: chance, signal });
  const watching = watch.run(signal);
  const left: string[] = [];
  const leave = async (keepLease: boolean) => void left.push(...await fleet.leave(keepLease));
  const random = seededRandom(SEED * 2);
  /** Towards a number of hosts, with detours. */
  const move = async (to: number) => {
    const forth = to > fleet.up.length;
    for (let detours = DETOURS; fleet.up.length !== to;) {
      const back = detours > 0 && random.below(3) === 0 && fleet.up.length > 1 &&
        fleet.up.length < HOSTS;
      if (back) detours--;
      await (forth === back ? leave(forth) : fleet.join());
      await fleet.pause();
    }
  };

  await move(HOSTS);
  await untilRouted(fleet.up);
  await eventually("three voters and two standbys", async () => {
    const { items } = await fleet.up[0]!.get("/v1/nodes") as { items: { role: string }[] };
    const count = (...roles: string[]) => items.filter(({ role }) => roles.includes(role)).length;
    return count("leader", "voter") === 3 && count("standby") === 2 ? true : undefined;
  });
  const subnets = await Promise.all(fleet.up.map(subnetOf));
  const leases = (await leasesOf(fleet.up[0]!)).map(({ subnet }) => subnet);
  t.same(leases.sort(), [...new Set(subnets)].sort(), "each has a subnet of its own");

  await move(1);
  over.abort();
  await watching;
  const tokens = (await Promise.all(writers)).flat();
  const reserved = await reserving;
  const last = fleet.up[0]!;
  await untilReady([last]);
  const { configuration } = await last.get("/v1/raft") as Status;
  const { items } = await last.get("/v1/tokens") as { items: { id: string }[] };
  const present = new Set(items.map(({ id }) => id));
  t.same(watch.failures, []);
  t.same(left, [], "who leaves takes everything along");
  t.same(fleet.missed, [], "and has its subnet again where it said so");
  t.same(tokens.filter((id) => !present.has(id)), [], "what was acknowledged is there");
  const { items: aside } = await last.get("/v1/reservations") as { items: { subnet: string }[] };
  const there = new Set(aside.map(({ subnet }) => subnet));
  t.same(
    [...reserved].filter(([subnet, isReserved]) => there.has(subnet) !== isReserved),
    [],
    "also of subnets that were set aside and given back",
  );
  t.same([configuration.voters.length, configuration.learners.length], [1, 0]);
  t.same((await leasesOf(last)).map(({ subnet }) => subnet), [await subnetOf(last)]);
  t.same(await ownRoutes(last), [], "and there is nobody left to route to");
  t.ok(
    watch.looks > 50 && watch.voters >= 3 && watch.terms > 1 && tokens.length > 30 &&
      reserved.size > 30,
    [
      `${watch.looks} looks, ${watch.voters} voters, ${watch.terms} terms, ${tokens.length} tokens`,
      `${reserved.size} subnets`,
    ].join(),
  );
});
