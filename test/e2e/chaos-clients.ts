/** What people and programs want of a cluster while it is harmed, and what they were told. */
import { ApiClient, type CallOptions } from "../../src/api/client.ts";
import { abortAfter, type Clock, sleep } from "../../src/base/clock.ts";
import { DenimError } from "../../src/base/errors.ts";
import type { Random } from "../../src/base/random.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import { joinBy, NETWORK, onNode, subnetOf } from "../support/lab.ts";
import { type Event, jepsenLine } from "../sim/jepsen.ts";
import { between } from "./chaos-faults.ts";

/** A paused daemon never answers. */
const CALL_TIMEOUT_MS = 4_000;
const PAUSE_MS = [10, 150] as const;
const TOKEN_PAUSE_MS = [100, 500] as const;
const JOIN_PAUSE_MS = [4_000, 8_000] as const;
const JOIN_TIMEOUT_MS = 20_000;
/** Each is a namespace to the end. */
const JOINS_MAX = 20;
const TOKEN_TTL_MS = 86_400_000;

export interface Place {
  readonly hosts: readonly Host[];
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** What a call came to, if anybody knows. */
type Outcome = Answer | "refused" | "unknown";

/** `refused`: nobody can have heard it. */
async function call(clock: Clock, host: Host, path: string, how?: CallOptions): Promise<Outcome> {
  using limit = abortAfter(clock, CALL_TIMEOUT_MS);
  const late = new Promise<"unknown">((resolve) =>
    limit.signal.addEventListener("abort", () => resolve("unknown"))
  );
  const answer = new ApiClient(host.socketPath).text(path, how).then(
    ({ status, text }): Outcome => ({ status, body: JSON.parse(text) as unknown }),
    (error: unknown): Outcome => isNobody(error) ? "refused" : "unknown",
  );
  return await Promise.race([answer, late]);
}

function isNobody(error: unknown): boolean {
  const cause = error instanceof DenimError ? error.cause : undefined;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return code === "ENOENT" || code === "ECONNREFUSED";
}

/**
 * The network config as a register, whose value is how many milliseconds its `LeaseTTL` is above an
 * hour: a number that no host acts on in the time of a run.
 */
const PATH = "/v1/network";
const BASE_MS = 3_600_000;

function configOf(value: number): string {
  const LeaseTTL = `${BASE_MS + value}ms`;
  return JSON.stringify({ Network: NETWORK, LeaseTTL, Backend: { Type: "host-gw" } });
}

interface Found {
  readonly value: number;
  readonly revision: string;
}

function foundIn(body: unknown): Found {
  const { config, revision } = body as { config: { LeaseTTL: string }; revision: string };
  return { value: parseInt(config.LeaseTTL) - BASE_MS, revision };
}

/** Clients that read and write one register, and the history of what they saw. */
export class RegisterUse {
  /** In the form of Jepsen's logs. */
  readonly lines: string[] = [];
  readonly counts = { operations: 0, unknown: 0 };
  readonly #place: Place;
  #values = 0;
  #processes = 0;

  constructor(place: Place) {
    this.#place = place;
  }

  /** The first value, before anybody else comes. */
  async begin(): Promise<void> {
    await this.#write(this.#newProcess(), this.#place.hosts[0]!);
  }

  /** The last value, as each host has it. */
  async end(): Promise<void> {
    for (const host of this.#place.hosts) await this.#read(this.#newProcess(), host);
  }

  async client(): Promise<void> {
    const { hosts, clock, random, signal } = this.#place;
    let process = this.#newProcess();
    let last: Found | undefined;
    for (; !signal.aborted; await sleep(clock, between(random, PAUSE_MS), signal)) {
      const host = hosts[random.below(hosts.length)]!;
      const dice = random.below(10);
      if (dice < 5 || last === undefined) last = await this.#read(process, host) ?? last;
      else if (!await this.#write(process, host, dice < 7 ? last : undefined)) {
        // As Jepsen does: what goes on is another client.
        process = this.#newProcess();
      }
    }
  }

  /** `undefined`: it has found nothing. */
  async #read(process: string, host: Host): Promise<Found | undefined> {
    this.#log({ process, type: "invoke", verb: "read", value: "nil" });
    const answer = await call(this.#place.clock, host, `${PATH}?consistency=linearizable`);
    const found = typeof answer === "object" && answer.status === 200
      ? foundIn(answer.body)
      : undefined;
    this.#log({
      ...{ process, verb: "read" },
      ...found === undefined
        ? { type: "fail", value: ":timed-out" }
        : { type: "ok", value: String(found.value) },
    });
    return found;
  }

  /**
   * Writes a value that nobody has written, whatever there is or only over what was found.
   * `false`: it may happen at any later time.
   */
  async #write(process: string, host: Host, over?: Found): Promise<boolean> {
    const to = ++this.#values;
    const event = over === undefined
      ? { process, verb: "write", value: String(to) } as const
      : { process, verb: "cas", value: `[${over.value} ${to}]` } as const;
    this.#log({ ...event, type: "invoke" });
    const answer = await call(this.#place.clock, host, PATH, {
      method: "PUT",
      body: configOf(to),
      headers: { "if-match": over === undefined ? "*" : `"${over.revision}"` },
    });
    if (typeof answer === "object" && answer.status === 200) {
      this.#log({ ...event, type: "ok" });
      return true;
    }
    // An error of the server's may be one of the read that follows the write.
    if (answer === "refused" || typeof answer === "object" && answer.status < 500) {
      const why = answer === "refused" ? ":no-daemon" : `:status-${answer.status}`;
      this.#log({ ...event, type: "fail", value: why });
      return true;
    }
    this.#log({ ...event, type: "info", value: ":timed-out" });
    return false;
  }

  #newProcess(): string {
    return String(this.#processes++);
  }

  #log(event: Event): void {
    this.lines.push(jepsenLine(event));
    if (event.type === "invoke") this.counts.operations++;
    if (event.type === "info") this.counts.unknown++;
  }
}

/** Tokens that were made: each has to be there in the end. */
export async function makeTokens(place: Place): Promise<string[]> {
  const { hosts, clock, random, signal } = place;
  const made: string[] = [];
  for (; !signal.aborted; await sleep(clock, between(random, TOKEN_PAUSE_MS), signal)) {
    const host = hosts[random.below(hosts.length)]!;
    const body = JSON.stringify({ role: "agent", ttlMs: TOKEN_TTL_MS });
    const answer = await call(clock, host, "/v1/tokens", { method: "POST", body });
    if (typeof answer !== "object" || answer.status !== 201) continue;
    made.push((answer.body as { id: string }).id);
  }
  return made;
}

/** Above what hosts are given that come in one after another. */
const RESERVED_FROM = 130;
const RESERVED_COUNT = 100;

/**
 * Subnets that are set aside and given back in turn: of each whether it is reserved by the last
 * word, unless the answer to that was lost.
 */
export async function reserveSubnets(place: Place): Promise<ReadonlyMap<string, boolean>> {
  const { hosts, clock, random, signal } = place;
  const reserved = new Map<string, boolean>();
  for (let n = 0; !signal.aborted; n++) {
    const subnet = `10.244.${RESERVED_FROM + n % RESERVED_COUNT}.0/24`;
    const path = `/v1/reservations/${encodeURIComponent(subnet)}`;
    const method = reserved.get(subnet) === true ? "DELETE" : "PUT";
    const host = hosts[random.below(hosts.length)]!;
    const body = method === "PUT" ? { body: "{}" } : {};
    const answer = await call(clock, host, path, { method, ...body });
    if (typeof answer === "object" && answer.status === 200) {
      reserved.set(subnet, method === "PUT");
    } else if (answer !== "refused") reserved.delete(subnet);
    await sleep(clock, between(random, PAUSE_MS), signal);
  }
  return reserved;
}

/** Hosts that join and go: the subnet of each, which it keeps. */
export async function joinHosts(place: Place, lab: Lab, token: string): Promise<string[]> {
  const { hosts, clock, random, signal } = place;
  const subnets: string[] = [];
  for (let n = 1; n <= JOINS_MAX; n++) {
    await sleep(clock, between(random, JOIN_PAUSE_MS), signal);
    if (signal.aborted) break;
    const host = await lab.addHost(`j${n}`);
    const server = hosts[random.below(hosts.length)]!;
    const isIn = await joinBy(host, onNode, server, token, JOIN_TIMEOUT_MS).then(
      () => true,
      () => false,
    );
    if (isIn) subnets.push(await subnetOf(host));
    await host.daemon!.stop("SIGKILL");
  }
  return subnets;
}
