import { readFileSync } from "node:fs";
import type { ApiClient } from "../api/client.ts";
import type { NodeView, StatusView } from "../api/service.ts";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { type Address, formatAddress, ofFamily, parseAddress } from "../ip/address.ts";
import { parsePrefix } from "../ip/prefix.ts";
import { type EchoAnswer, type EchoRequest, EchoSocket } from "../kernel/echo.ts";
import { openLibc } from "../kernel/libc.ts";
import { type Endpoint, parseEndpoint } from "../transport/address.ts";
import type { Finding } from "./finding.ts";
import { connectFailure } from "./connect.ts";
import { type Trial, tryReach, type Tunnel } from "./reach.ts";

export interface ProbeOptions {
  readonly client: Pick<ApiClient, "call">;
  readonly random: Random;
  readonly clock: Clock;
  /** How many peers are tried. */
  readonly peersMax: number;
  /** How often each is asked before it counts as silent: a new route may take a moment there. */
  readonly attempts: number;
}

const ANSWER_MS = 400;
/** A first packet that is lost is sent again after a second (RFC 6298). */
const CONNECT_MS = 2_500;

/** Tries some peers, chosen by chance, each in every family. None without a lease or a peer. */
export async function probePeers(options: ProbeOptions): Promise<Finding[]> {
  const trials = await trialsOf(options);
  const libc = await openLibc();
  return await Promise.all(trials.map(async (trial) => {
    using socket = new EchoSocket(libc, trial.subnet.family, options.clock);
    const asks = (request: EchoRequest) => ask(socket, request, options);
    return await tryReach(trial, asks, isNeighbour, isAnswered);
  }));
}

async function ask(
  socket: EchoSocket,
  request: EchoRequest,
  { random, attempts }: ProbeOptions,
): Promise<EchoAnswer | undefined> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const answer = await socket.ask(request, random.below(0x10000), ANSWER_MS);
    if (answer !== undefined) return answer;
  }
  return undefined;
}

async function trialsOf({ client, random, peersMax }: ProbeOptions): Promise<Trial[]> {
  const [status, nodes, routes] = await Promise.all(
    ["/v1/self", "/v1/nodes", "/v1/nodes/self/routes"].map((path) => client.call(path)),
  ) as [StatusView, { items: NodeView[] }, { items: RouteLine[] }];
  const lineOf = new Map(routes.items.map((line) => [line.about, line]));
  const ours = status.lease.subnets.map(parsePrefix);
  const own = addressesOf(status.dataPlane);
  const peers = nodes.items.filter((node) => !node.self && !node.silent);
  return some(peers, peersMax, random).flatMap((peer) =>
    peer.subnets.flatMap((text): Trial[] => {
      const subnet = parsePrefix(text);
      const { family } = subnet;
      const [mine, address, publicIp] = [
        ours.find((own) => own.family === family),
        ofFamily(own, family),
        ofFamily(addressesOf(peer), family),
      ];
      if (mine === undefined || address === undefined || publicIp === undefined) return [];
      const route = lineOf.get(text);
      const tunnel = route && tunnelOf(route, lineOf, parseEndpoint(peer.address).port);
      return [{
        ...{ name: peer.name, subnet, publicIp, route: route?.state },
        own: { subnet: mine, address },
        ...(tunnel === undefined ? {} : { tunnel }),
      }];
    })
  );
}

/** As `denim route --json` has it. */
interface RouteLine {
  readonly about: string;
  readonly state: string;
  readonly via?: string;
  readonly device?: string;
  readonly wanted: string | null;
}

/** The routes of a tunnel go by a link that is on the list as well. */
function tunnelOf(
  { via, device }: RouteLine,
  lineOf: ReadonlyMap<string, RouteLine>,
  controlPort: number,
): Tunnel | undefined {
  const link = lineOf.get(`link ${device}`);
  if (link === undefined || !via || !device) return undefined;
  const port = /\bdstport (\d+)/.exec(link.wanted ?? "")?.[1];
  const end = { host: via, port: controlPort };
  return { device, port: port === undefined ? undefined : Number(port), end };
}

/** Every node listens there; who refuses has answered, too. */
async function isAnswered(endpoint: Endpoint): Promise<boolean> {
  const failure = await connectFailure(endpoint, CONNECT_MS);
  return failure === undefined || failure.code === "ECONNREFUSED";
}

function addressesOf(
  { publicIp, publicIpv6 }: Pick<NodeView, "publicIp" | "publicIpv6">,
): Address[] {
  return [publicIp, publicIpv6].filter((ip) => ip !== null).map(parseAddress);
}

function some<T>(all: readonly T[], countMax: number, random: Random): T[] {
  const rest = [...all];
  const chosen: T[] = [];
  while (chosen.length < countMax && rest.length > 0) {
    chosen.push(...rest.splice(random.below(rest.length), 1));
  }
  return chosen;
}

/** `/proc/net/arp`: address, type, flags, MAC; without ATF_COM (0x2) it is not known. IPv4 only. */
function isNeighbour(address: Address): boolean | undefined {
  if (address.family === 6) return undefined;
  const text = formatAddress(address);
  const line = readFileSync("/proc/self/net/arp", "utf8").split("\n")
    .map((line) => line.trim().split(/\s+/)).find(([ip]) => ip === text);
  return line === undefined ? undefined : (Number(line[2]) & 0x2) !== 0;
}
