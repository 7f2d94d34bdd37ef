/** An agent as the servers see one, without a kernel: it joins, connects, and renews its lease. */
import type { JoinCommit, JoinResult } from "../../src/agent/entry/admitting.ts";
import { hex } from "../../src/base/bytes.ts";
import { sleep, systemClock } from "../../src/base/clock.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Command } from "../../src/lease/command.ts";
import { FEATURES } from "../../src/lease/feature-level.ts";
import type { LeaseAttributes } from "../../src/lease/records.ts";
import type { Channel } from "../../src/transport/channel.ts";
import { csrKeyId } from "../../src/transport/csr.ts";
import { dial } from "../../src/transport/dialer.ts";
import { Handlers } from "../../src/transport/handlers.ts";
import { openJoin } from "../../src/transport/join-client.ts";
import { createCsr, createKey } from "../../src/transport/pki.ts";
import { KIND, PROTOCOL } from "../../src/transport/protocol.ts";
import { decodeToken } from "../../src/transport/token.ts";
import { makeToken } from "../support/lab.ts";
import type { Answered, Load, Prober } from "./etcd.ts";

const clock = systemClock();
const PATIENCE_MS = 10_000;
const VERSION = "bench";
const PORT = 7470;
/** As `etcd/load.go` probes. */
const PROBE_PERIOD_MS = 10;
const PROBE_TIMEOUT_MS = 250;
const incarnation = { counter: 1, startId: "bench" };

/** What it tells its peers of how they reach it; the data are JSON text. */
type Told = Pick<LeaseAttributes, "backendType" | "backendData">;

const HOST_GW: Told = { backendType: "host-gw", backendData: "null" };

export class BenchAgent {
  readonly publicIp: string;
  readonly #key: string;
  readonly #storeId: string;
  readonly #joined: JoinResult;

  private constructor(publicIp: string, key: string, storeId: string, joined: JoinResult) {
    this.publicIp = publicIp;
    this.#key = key;
    this.#storeId = storeId;
    this.#joined = joined;
  }

  /** Nobody else may have its number. */
  static async join(server: Host, number: number, told = HOST_GW): Promise<BenchAgent> {
    const token = decodeToken(await makeToken(server, 1, ["--role", "agent"]));
    const key = await createKey();
    const csr = await createCsr(key);
    const storeId = csrKeyId(csr).slice(0, 16);
    const publicIp = `192.0.2.${number}`;
    await using session = await openJoin(`${server.address}:${PORT}`, {
      caPin: token.caPin,
      hello: { wants: "join", protocol: PROTOCOL, version: VERSION },
      ...{ clock, timeoutMs: PATIENCE_MS },
    });
    await session.begin({ tokenId: token.id, secret: hex(token.secret) }, PATIENCE_MS);
    const commit: JoinCommit = {
      ...{ csr, publicIp, name: `agent-${number}`, address: `${publicIp}:${PORT}` },
      ...{ features: FEATURES, version: VERSION, storeId },
      ...{ ...told, wish: [] },
    };
    const joined = await session.commit(commit, PATIENCE_MS) as JoinResult;
    return new BenchAgent(publicIp, key, storeId, joined);
  }

  get subnet(): string {
    return this.#joined.lease.subnets[0]!;
  }

  get renewal(): Command & { readonly kind: "lease.renew" } {
    const { nodeId: node, lease: { subnets } } = this.#joined;
    return { kind: "lease.renew", node, subnets };
  }

  /** A renewal with something new for its peers. */
  publication(told: Told): Command {
    return { ...this.renewal, attributes: { publicIp: this.publicIp, ...told } };
  }

  /** One connection with mutual TLS. A server keeps only the newest one of a node. */
  async connect(server: Host): Promise<Channel> {
    const { caBundle, certificate: cert, nodeId, clusterId, role, lease } = this.#joined;
    const { channel } = await dial(`${server.address}:${PORT}`, {
      credentials: { caBundle, cert, key: this.#key },
      clock,
      hello: {
        ...{ wants: "watch", protocol: PROTOCOL, features: FEATURES, version: VERSION },
        ...{ clusterId, epoch: lease.epoch, nodeId, role, storeId: this.#storeId },
        ...{ incarnation, starts: [incarnation] },
      },
      admit: () => ({ ok: true }),
    });
    return channel.start(new Handlers());
  }
}

/** Answers a second: so many askers, each with one question out. The first fifth warms up. */
export async function rateOf(
  ask: (asker: number) => Promise<unknown>,
  { inFlight, durationMs }: Load,
): Promise<number> {
  const startedMs = performance.now();
  const [fromMs, endMs] = [startedMs + durationMs / 5, startedMs + durationMs];
  let count = 0;
  await Promise.all(Array.from({ length: inFlight }, async (_, asker) => {
    for (;;) {
      await ask(asker);
      const nowMs = performance.now();
      if (nowMs >= endMs) return;
      if (nowMs >= fromMs) count++;
    }
  }));
  return count / (endMs - fromMs) * 1_000;
}

/** A renewal every ten milliseconds, by turns through each of the servers. */
export function probe(agent: BenchAgent, servers: readonly Host[]): Prober {
  const answered: Answered[] = [];
  let going = true;
  const channels = servers.map((server) => keepChannel(agent, server, () => going));
  void (async () => {
    for (let turn = 0; going; turn++) {
      const channel = channels[turn % channels.length]!();
      const sentMs = wallMs();
      channel?.request(KIND.propose, { command: agent.renewal }, { timeoutMs: PROBE_TIMEOUT_MS })
        .then(() => answered.push({ sentMs, answeredMs: wallMs() }), () => {});
      await sleep(clock, PROBE_PERIOD_MS);
    }
    channels.forEach((current) => current()?.close());
  })();
  return { answered, stop: () => (going = false) };
}

/** The channel that stands now; another one is dialled when it is lost. */
function keepChannel(
  agent: BenchAgent,
  server: Host,
  goesOn: () => boolean,
): () => Channel | undefined {
  let current: Channel | undefined;
  void (async () => {
    while (goesOn()) {
      current = await agent.connect(server).catch(() => undefined);
      await (current?.closed ?? sleep(clock, PROBE_TIMEOUT_MS));
      current = undefined;
    }
  })();
  return () => current;
}

function wallMs(): number {
  return performance.timeOrigin + performance.now();
}
