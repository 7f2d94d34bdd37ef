import type { AddressInfo, Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { Cancel, Clock } from "../base/clock.ts";
import { asDenimError, DenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { Channel, type ChannelOptions } from "./channel.ts";
import { type Credentials, secureOptions, shownCertificates } from "./credentials.ts";
import { FRAME_BYTES_STRANGER } from "./frame.ts";
import {
  type Admit,
  greet,
  type Greeting,
  greetStranger,
  type Hello,
  refuse,
} from "./handshake.ts";
import { judgeCertificate } from "./certificate.ts";
import { SocketWire, type Wire } from "./wire.ts";

/** A connection without a certificate. It has to say `channel.start(handlers)`. */
export interface Joiner {
  readonly channel: Channel;
  readonly wants: "join" | "rejoin";
  readonly address: string;
  /** Once its secret was right: this much longer from now on. */
  extend(durationMs: number): void;
}

export interface ListenerOptions {
  /** Address to bind, `::` for all. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly log: Logger;
  /** Asked at each connection: epoch and incarnation may have changed. */
  readonly hello: () => Hello;
  readonly admit: Admit;
  /** A judged and greeted peer. The channel has to be started. */
  readonly onPeer: (channel: Channel, greeting: Greeting<Hello>) => void;
  /** An agent has none: it sends joiners away with the error that `sendAway` gives. */
  readonly onJoiner?: (joiner: Joiner) => void;
  readonly sendAway?: () => DenimError;
  /** @default 64 */
  readonly joinersMax?: number;
  /** How long a joiner has before {@link Joiner.extend}. @default 10 s */
  readonly joinerMs?: number;
  /** @default 10 s */
  readonly greetMs?: number;
  readonly channel?: Partial<ChannelOptions>;
}

/** Sockets that are open at once, judged or not. */
const CONNECTIONS_MAX = 8_192;
const JOINERS_MAX = 64;
const WAIT_MS = 10_000;
const CLOSE_MS = 1_500;

/** The server side of the cluster's port. */
export class Listener implements AsyncDisposable {
  readonly #server: Server;
  readonly #options: ListenerOptions;
  readonly #wires = new Set<Wire>();
  readonly #sockets = new Set<Socket>();
  #caBundle: string;
  #joiners = 0;

  constructor(server: Server, options: ListenerOptions) {
    this.#server = server;
    this.#options = options;
    this.#caBundle = options.credentials.caBundle;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Uses other certificates for connections from now on; those that stand are not touched. */
  reload(credentials: Credentials): void {
    this.#server.setSecureContext(secureOptions(credentials));
    this.#caBundle = credentials.caBundle;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const reason = new DenimError("CONNECTION_LOST", "The connection was closed", {
      why: "the node is stopping",
    });
    for (const wire of this.#wires) wire.farewell(reason, this.#options.clock);
    // Whoever is still in the middle of a TLS handshake would hold the port open.
    const cancel = this.#options.clock.after(CLOSE_MS, () => {
      for (const socket of this.#sockets) socket.destroy();
    });
    await closed;
    cancel();
  }

  /** One connection after its TLS handshake. */
  async accept(socket: TLSSocket): Promise<void> {
    // On a socket for both families IPv4 comes in as `::ffff:192.0.2.1`.
    const address = (socket.remoteAddress ?? "an unknown address").replace(/^::ffff:(?=\d)/, "");
    socket.setNoDelay(true);
    const wire = new SocketWire(socket, FRAME_BYTES_STRANGER);
    this.#wires.add(wire);
    wire.onClose(() => this.#wires.delete(wire));
    try {
      const [certificate] = shownCertificates(socket);
      if (certificate === undefined) await this.#stranger(wire, address);
      else await this.#peer(wire, certificate, address);
    } catch (error) {
      const reason = asDenimError(error);
      refuse(wire, reason, this.#options.clock);
      this.#options.log.warn("connection refused", {
        address,
        code: reason.code,
        why: reason.why ?? reason.message,
      });
    }
  }

  async #peer(wire: Wire, certificate: Uint8Array, address: string): Promise<void> {
    const { clock, admit } = this.#options;
    const identity = judgeCertificate(certificate, this.#caBundle, clock.wallMs());
    const greeting = await greet(wire, this.#options.hello(), { identity, admit }, {
      clock,
      timeoutMs: this.#options.greetMs ?? WAIT_MS,
    });
    const peer = `${identity.nodeId} (${address})`;
    const channel = new Channel(wire, { clock, peer, ...this.#options.channel });
    this.#options.onPeer(channel, greeting);
  }

  async #stranger(wire: Wire, address: string): Promise<void> {
    const { clock, onJoiner, sendAway } = this.#options;
    if (onJoiner === undefined) throw sendAway?.() ?? agentsDoNotJoin();
    if (this.#joiners >= (this.#options.joinersMax ?? JOINERS_MAX)) throw tooManyJoiners();
    this.#joiners++;
    let stop = this.#deadline(wire, this.#options.joinerMs ?? WAIT_MS);
    wire.onClose(() => {
      this.#joiners--;
      stop();
    });
    const { protocol, version } = this.#options.hello();
    const greeting = await greetStranger(wire, { wants: "join", protocol, version }, {
      clock,
      timeoutMs: this.#options.greetMs ?? WAIT_MS,
    });
    const wants = greeting.hello.wants;
    const channel = new Channel(wire, {
      clock,
      peer: `a joiner at ${address}`,
      runningMax: 2,
      allow: (kind) => kind.startsWith(`${wants}.`),
    });
    onJoiner({
      channel,
      wants,
      address,
      extend: (durationMs) => {
        stop();
        stop = this.#deadline(wire, durationMs);
      },
    });
  }

  #deadline(wire: Wire, durationMs: number): Cancel {
    return this.#options.clock.after(durationMs, () =>
      wire.destroy(
        new DenimError("TIMEOUT", "A joiner took too long", {
          why: `it had ${durationMs / 1000} s`,
        }),
      ));
  }
}

/** Opens the port. Throws `PORT_IN_USE`, `PERMISSION_DENIED` or `CONFIG_INVALID`. */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const server = createServer({
    ...secureOptions(options.credentials),
    requestCert: true,
    // Judged in `accept`, where a joiner without a certificate has its place. Both runtimes check
    // that the client holds the key of the certificate it shows, whatever stands here (measured).
    rejectUnauthorized: false,
    handshakeTimeout: WAIT_MS,
  });
  server.maxConnections = CONNECTIONS_MAX;
  const listener = new Listener(server, options);
  server.on("secureConnection", (socket) => void listener.accept(socket));
  server.on("tlsClientError", (error, socket) => {
    socket.destroy();
    options.log.debug("TLS handshake failed", {
      address: socket.remoteAddress,
      why: error.message,
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(cannotListen(error, options)));
    const { host, port } = options;
    // Unnamed it is every address of both families, or of IPv4 where there is no IPv6.
    if (host === "::") server.listen(port, resolve);
    else server.listen(port, host, resolve);
  });
  server.on("error", (error) => options.log.error("listener failed", { why: error.message }));
  return listener;
}

function cannotListen(error: NodeJS.ErrnoException, options: ListenerOptions): DenimError {
  const at = `${options.host} port ${options.port}`;
  switch (error.code) {
    case "EADDRINUSE":
      return new DenimError("PORT_IN_USE", `Cannot listen on ${at}`, {
        why: "another program listens there",
        fix: `find it with: ss -ltnp 'sport = :${options.port}', or choose another with --listen`,
        cause: error,
      });
    case "EACCES":
    case "EPERM":
      return new DenimError("PERMISSION_DENIED", `Cannot listen on ${at}`, {
        why: "the system does not let this user open that port",
        fix: "run as root, or choose a port above 1023 with --listen",
        cause: error,
      });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EINVAL": // Deno's word for EADDRNOTAVAIL.
      return new DenimError("CONFIG_INVALID", `Cannot listen on ${at}`, {
        why: "this host does not have that address",
        fix: "give one of the addresses that `ip address` shows with --listen",
        cause: error,
      });
    default:
      return asDenimError(error);
  }
}

function agentsDoNotJoin(): DenimError {
  return new DenimError("JOIN_REFUSED", "This node is an agent and cannot let anyone in", {
    fix: "join a server",
  });
}

function tooManyJoiners(): DenimError {
  return new DenimError("OVERLOADED", "Too many nodes are joining here at once", {
    fix: "try again, or join another server",
  });
}
