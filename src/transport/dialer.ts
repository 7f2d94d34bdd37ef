import { connect as tlsConnect, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { Clock } from "../base/clock.ts";
import { DenimError, isDenimError } from "../base/errors.ts";
import { formatEndpoint, parseEndpoint } from "./address.ts";
import { Channel, type ChannelOptions } from "./channel.ts";
import { type Credentials, secureOptions, shownCertificates } from "./credentials.ts";
import { FRAME_BYTES_STRANGER } from "./frame.ts";
import { type Admit, greet, type Greeting, type Hello } from "./handshake.ts";
import { judgeCertificate, type NodeIdentity } from "./certificate.ts";
import { SocketWire } from "./wire.ts";

export interface DialOptions {
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly hello: Hello;
  readonly admit: Admit;
  /** Refuse anyone else who answers there. */
  readonly expectNodeId?: string;
  /** For everything until the greeting is done. @default 10 s */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly channel?: Partial<ChannelOptions>;
}

export interface Dialed {
  /** Has to be started. */
  readonly channel: Channel;
  readonly greeting: Greeting<Hello>;
  readonly identity: NodeIdentity;
}

export interface ConnectOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 10_000;

/**
 * Connects to a server of the own cluster, and believes it only with a certificate of the
 * cluster's CA that may serve. Rejects with `PEER_UNREACHABLE`, `PEER_REFUSED`, what the other
 * side answered, `TIMEOUT` or `CANCELLED`.
 */
export async function dial(address: string, options: DialOptions): Promise<Dialed> {
  const { clock, credentials } = options;
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const startedMs = clock.monotonicMs();
  const socket = await connect(address, secureOptions(credentials), {
    clock,
    timeoutMs,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const wire = new SocketWire(socket, FRAME_BYTES_STRANGER);
  const onAbort = () => wire.destroy(cancelled(address));
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const identity = judgeServer(socket, credentials.caBundle, clock.wallMs(), address);
    if (options.expectNodeId !== undefined && identity.nodeId !== options.expectNodeId) {
      throw notServed(address, `node ${identity.nodeId} answers, not ${options.expectNodeId}`);
    }
    // The server may still turn us away: in TLS 1.3 it reads our certificate after we are done.
    const leftMs = Math.max(1, timeoutMs - (clock.monotonicMs() - startedMs));
    const greeting = await greet(wire, options.hello, { identity, admit: options.admit }, {
      clock,
      timeoutMs: leftMs,
    });
    const peer = `${identity.nodeId} (${address})`;
    return { channel: new Channel(wire, { clock, peer, ...options.channel }), greeting, identity };
  } catch (error) {
    wire.destroy(isDenimError(error) ? error : notServed(address, String(error)));
    throw error;
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
  }
}

/**
 * A TLS 1.3 connection that nobody has judged yet. The chain is judged by the caller; that the
 * other side holds its key was checked by the handshake even so, on both runtimes (measured).
 */
export async function connect(
  address: string,
  tls: ConnectionOptions,
  { clock, timeoutMs, signal }: ConnectOptions,
): Promise<TLSSocket> {
  const endpoint = parseEndpoint(address);
  if (signal?.aborted) throw cancelled(address);
  return await new Promise((resolve, reject) => {
    const socket = tlsConnect({
      minVersion: "TLSv1.3",
      ...tls,
      ...endpoint,
      servername: "denim",
      rejectUnauthorized: false,
    });
    const fail = (error: DenimError) => {
      settle();
      socket.destroy();
      reject(error);
    };
    const onError = (error: NodeJS.ErrnoException) => fail(unreachable(address, error));
    const onClose = () => fail(unreachable(address, new Error("it hung up")));
    const onAbort = () => fail(cancelled(address));
    const cancelTimer = clock.after(timeoutMs, () =>
      fail(
        new DenimError("TIMEOUT", `${address} does not answer`, {
          why: `no connection within ${timeoutMs / 1000} s`,
          fix: "check the address, and that a firewall lets TCP 7470 through",
        }),
      ));
    const settle = () => {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
      socket.off("close", onClose);
      // A socket without a listener for errors would end the process.
      socket.off("error", onError).on("error", () => {});
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.on("error", onError).on("close", onClose);
    socket.once("secureConnect", () => {
      settle();
      socket.setNoDelay(true);
      socket.pause();
      resolve(socket);
    });
  });
}

/** Throws `PEER_REFUSED` unless the other side is a server of the cluster that the bundle names. */
function judgeServer(
  socket: TLSSocket,
  caBundle: string,
  nowMs: number,
  address: string,
): NodeIdentity {
  const [certificate] = shownCertificates(socket);
  if (certificate === undefined) throw notServed(address, "it shows no certificate");
  const identity = judgeCertificate(certificate, caBundle, nowMs);
  if (!identity.canServe) throw notServed(address, `node ${identity.nodeId} is an agent`);
  return identity;
}

function notServed(address: string, why: string): DenimError {
  return new DenimError("PEER_REFUSED", `${address} is not a server of this cluster`, { why });
}

export function cancelled(address: string): DenimError {
  return new DenimError("CANCELLED", `The connection to ${address} was cancelled`);
}

function unreachable(address: string, error: NodeJS.ErrnoException): DenimError {
  const { host, port } = parseEndpoint(address);
  const at = formatEndpoint({ host, port });
  return new DenimError("PEER_UNREACHABLE", `Cannot reach ${at}`, {
    why: REASONS[error.code ?? ""] ?? error.message.trim(),
    fix: `check that denim runs there, and that a firewall lets TCP ${port} through`,
    cause: error,
  });
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ECONNRESET: "it hung up",
  EHOSTUNREACH: "the host does not answer",
  ENETUNREACH: "there is no route to it",
  ENOTFOUND: "the name is unknown",
  EAI_AGAIN: "the name cannot be looked up now",
};
