/**
 * A TLS server under somebody else's control: `node impostor.ts FOLDER ADDRESS [greets]`, run
 * inside of a host. It shows the certificate in FOLDER, goes along with a joiner's greeting where
 * it is told to, and prints one line of JSON for each connection that has ended.
 */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { type Credentials, secureOptions } from "../../src/transport/credentials.ts";
import { encodeFrame, FRAME_BYTES_STRANGER } from "../../src/transport/frame.ts";

/** What one connection brought. */
export interface Heard {
  /** What was said inside of TLS, base 64. */
  readonly inside: string;
  /** Bytes in each sealed record (RFC 8446, 5.2) that came over the wire, whoever can read it. */
  readonly sealed: readonly number[];
}

/** The same that a node greets strangers with. */
const GREETING = [
  { t: "hello", wants: "join", protocol: { min: 1, max: 1 }, version: "0.1.0" },
  { t: "welcome" },
];

/** A joiner's hello and welcome; what comes after them is a request. */
const GREETING_MESSAGES = 2;

/** A TLS server on loopback, and before it a port that sees the bytes as they come. */
function serve(folder: string, address: string, greets: boolean): void {
  const pem = (name: string) => readFileSync(join(folder, `${name}.pem`), "utf8");
  const credentials: Credentials = { cert: pem("cert"), key: pem("key"), caBundle: pem("ca") };
  let inside: Buffer[] = [];
  const tls = createTlsServer(secureOptions(credentials), (socket) => {
    listenTo(socket, inside = [], greets);
  });
  // The joiner may hang up before its own half of the handshake has left.
  tls.on("tlsClientError", () => {});
  const port = createServer((socket) => {
    const wire: Buffer[] = [];
    const onward = connect((tls.address() as AddressInfo).port, "127.0.0.1");
    socket.on("data", (bytes: Buffer) => wire.push(bytes)).on("error", () => {});
    onward.on("error", () => {});
    socket.pipe(onward).pipe(socket);
    // Who hangs up in the middle of something says no good-bye, and hears nothing any more.
    socket.once("close", () => onward.end().resume());
    onward.once("close", () => {
      socket.destroy();
      const line: Heard = {
        inside: Buffer.concat(inside).toString("base64"),
        sealed: sealedIn(Buffer.concat(wire)),
      };
      process.stdout.write(`${JSON.stringify(line)}\n`);
    });
  });
  tls.listen(0, "127.0.0.1", () => {
    port.listen(7470, address, () => process.stdout.write("listening\n"));
  });
}

function listenTo(socket: TLSSocket, heard: Buffer[], greets: boolean): void {
  socket.on("error", () => {}).on("data", (bytes: Buffer) => {
    heard.push(bytes);
    // Who has been told the secret needs no answer.
    if (framesIn(Buffer.concat(heard)) > GREETING_MESSAGES) socket.destroy();
  });
  for (const message of greets ? GREETING : []) {
    socket.write(encodeFrame(message, FRAME_BYTES_STRANGER));
  }
}

const APPLICATION_DATA = 23;

function sealedIn(wire: Buffer): number[] {
  const lengths: number[] = [];
  for (let at = 0; at + 5 <= wire.length; at += 5 + wire.readUInt16BE(at + 3)) {
    if (wire[at] === APPLICATION_DATA) lengths.push(wire.readUInt16BE(at + 3));
  }
  return lengths;
}

function framesIn(bytes: Buffer): number {
  let count = 0;
  for (let at = 0; at + 8 <= bytes.length; at += 8 + bytes.readUInt32BE(at)) count++;
  return count;
}

const [folder, address, greets] = process.argv.slice(2);
if (folder !== undefined && address !== undefined) serve(folder, address, greets !== undefined);
