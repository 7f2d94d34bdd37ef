import { equalBytes, hex } from "../base/bytes.ts";
import { assert, DenimError, isDenimError } from "../base/errors.ts";
import { Channel } from "./channel.ts";
import { shownCertificates } from "./credentials.ts";
import { cancelled, connect, type ConnectOptions } from "./dialer.ts";
import { FRAME_BYTES_STRANGER } from "./frame.ts";
import { greetStranger, type StrangerHello } from "./handshake.ts";
import { Handlers } from "./handlers.ts";
import { caPin, judgeCertificate, type NodeIdentity } from "./certificate.ts";
import { SocketWire } from "./wire.ts";

export interface JoinOptions extends ConnectOptions {
  /** From the token: the one CA that is believed. */
  readonly caPin: Uint8Array;
  readonly hello: StrangerHello;
}

/**
 * The joiner's side of a join, on one connection to a server that the token's pin has proved.
 * First `begin` with the secret, which consumes nothing; then the joiner's own checks; then
 * `commit`. What the bodies hold is between the joiner and the cluster.
 */
export class JoinSession implements AsyncDisposable {
  /** Who lets us in. */
  readonly server: NodeIdentity;
  readonly #channel: Channel;
  readonly #kind: "join" | "rejoin";
  #begun = false;

  constructor(channel: Channel, server: NodeIdentity, kind: "join" | "rejoin") {
    this.#channel = channel;
    this.server = server;
    this.#kind = kind;
  }

  /** Shows the secret; answered with the network config and what else the joiner must check. */
  async begin(body: unknown, timeoutMs?: number): Promise<unknown> {
    const answer = await this.#ask("begin", body, timeoutMs);
    this.#begun = true;
    return answer;
  }

  /** Asks to be let in; answered with the certificate and the lease. Safe to repeat with one key. */
  async commit(body: unknown, timeoutMs?: number): Promise<unknown> {
    assert(this.#begun, "a join is committed after it has begun");
    return await this.#ask("commit", body, timeoutMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#channel[Symbol.asyncDispose]();
  }

  #ask(step: "begin" | "commit", body: unknown, timeoutMs: number | undefined): Promise<unknown> {
    return this.#channel.request(
      `${this.#kind}.${step}`,
      body,
      timeoutMs === undefined ? {} : { timeoutMs },
    );
  }
}

/**
 * Connects and proves the server: its certificate is signed by the pinned CA, both are within
 * their time, and it may serve. Rejects with `JOIN_CA_MISMATCH` before a single byte of ours has
 * left, or with `JOIN_REFUSED` when it is an agent, which says where the servers are.
 */
export async function openJoin(address: string, options: JoinOptions): Promise<JoinSession> {
  const { clock, signal } = options;
  const socket = await connect(address, {}, options);
  const wire = new SocketWire(socket, FRAME_BYTES_STRANGER);
  const onAbort = () => wire.destroy(cancelled(address));
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const server = judgePinned(shownCertificates(socket), options, address);
    await greetStranger(wire, options.hello, options);
    if (!server.canServe) throw anAgent(address, server);
    const channel = new Channel(wire, { clock, peer: address });
    return new JoinSession(channel.start(new Handlers()), server, options.hello.wants);
  } catch (error) {
    wire.destroy(isDenimError(error) ? error : mismatch(address, String(error)));
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

function judgePinned(
  shown: readonly Uint8Array[],
  { caPin: pin, clock }: JoinOptions,
  address: string,
): NodeIdentity {
  const [leaf, ...others] = shown;
  if (leaf === undefined) throw mismatch(address, "it shows no certificate");
  const pinned = others.find((certificate) => equalBytes(caPin(certificate), pin));
  if (pinned === undefined) {
    const found = others.map((certificate) => shorten(caPin(certificate))).join(", ") || "unknown";
    throw mismatch(address, `its CA is ${found}, the token pins ${shorten(pin)}`);
  }
  try {
    return judgeCertificate(leaf, pemOf(pinned), clock.wallMs());
  } catch (error) {
    if (!isDenimError(error)) throw error;
    throw mismatch(address, error.why ?? error.message, error);
  }
}

function pemOf(der: Uint8Array): string {
  const lines = btoa(String.fromCharCode(...der)).match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** As people compare them: the first eight bytes, in fours of digits. */
function shorten(pin: Uint8Array): string {
  return `${hex(pin.subarray(0, 8)).match(/.{4}/g)!.join(" ")}…`;
}

function mismatch(address: string, why: string, cause?: unknown): DenimError {
  return new DenimError(
    "JOIN_CA_MISMATCH",
    `${address} is not the cluster this token was made for`,
    {
      why,
      fix: "check the address and this host's clock, or make a new token there: denim token create",
      cause,
    },
  );
}

function anAgent(address: string, server: NodeIdentity): DenimError {
  return new DenimError("JOIN_REFUSED", `${address} cannot let anyone in`, {
    why: `node ${server.nodeId} is an agent`,
    fix: "join a server; on any node of the cluster `denim node list` names them",
  });
}
