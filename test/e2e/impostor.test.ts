/** Whom a joiner shows its secret: nobody but a server of the cluster that made the token. */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import t, { type Test } from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { sendSignal } from "../../src/cli/lab/signal.ts";
import type { Credentials } from "../../src/transport/credentials.ts";
import { decodeToken } from "../../src/transport/token.ts";
import type { Heard } from "../support/impostor.ts";
import {
  cannotLab,
  found,
  joinBy,
  makeLab,
  makeToken,
  onNode,
  untilReady,
} from "../support/lab.ts";
import { testCluster } from "../support/pki.ts";
import { refused } from "../support/refusal.ts";
import { root } from "../support/root.ts";

/** The joiner's end of the handshake with the longest hash, or a good-bye: nothing else is shorter. */
const FINISHED_BYTES = 4 + 48 + 1 + 16;

/** Serves in a host's namespace, with what is in `folder`, until the result is called. */
async function impostor(
  host: Host,
  folder: string,
  greets: boolean,
): Promise<() => Promise<readonly Heard[]>> {
  const program = [onNode[0]!, join(root, "test/support/impostor.ts")];
  const words = [folder, host.address, ...(greets ? ["greets"] : [])];
  const child = spawn("ip", ["netns", "exec", host.namespace, ...program, ...words], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const lines = createInterface({ input: child.stdout });
  const listening = Promise.withResolvers<void>();
  const heard: Heard[] = [];
  let first = Promise.withResolvers<void>();
  lines.on("line", (line) => {
    if (line === "listening") return listening.resolve();
    heard.push(JSON.parse(line) as Heard);
    first.resolve();
  });
  await listening.promise;
  return async () => {
    await first.promise;
    first = Promise.withResolvers();
    sendSignal(child.pid!, "SIGTERM");
    await ended;
    return heard;
  };
}

/** Every form in which the secret could stand in what was said. */
function reveals({ inside }: Heard, token: string): boolean {
  const said = Buffer.from(inside, "base64");
  const secret = Buffer.from(decodeToken(token).secret);
  const forms = [
    ...[secret, secret.toString("hex"), secret.toString("base64"), secret.toString("base64url")],
    token.slice("denim1_".length + 42),
  ];
  return forms.some((form) => said.includes(form));
}

function messagesIn({ inside }: Heard): unknown[] {
  const bytes = Buffer.from(inside, "base64");
  const messages: unknown[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 8 + bytes.readUInt32BE(at);
    messages.push(JSON.parse(bytes.subarray(at + 8, end).toString()));
    at = end;
  }
  return messages;
}

function writeCredentials(folder: string, { cert, key, caBundle }: Credentials): string {
  mkdirSync(folder);
  for (const [name, pem] of Object.entries({ cert, key, ca: caBundle })) {
    writeFileSync(join(folder, `${name}.pem`), pem);
  }
  return folder;
}

function copyOfIdentity(host: Host, folder: string): string {
  mkdirSync(folder);
  for (const name of ["cert", "key", "ca"]) {
    copyFileSync(join(host.stateDir, "identity", `${name}.pem`), join(folder, `${name}.pem`));
  }
  return folder;
}

t.test(
  "a joiner and those who pose as a server",
  { skip: cannotLab, timeout: 600_000 },
  async (t) => {
    const lab = await makeLab(t);
    const [a, b, c] = [await lab.addHost("a"), await lab.addHost("b"), await lab.addHost("c")];
    await found(a, onNode);
    await joinBy(b, onNode, a, await makeToken(a, 1, ["--role", "agent"]));
    await b.daemon!.stop();
    const token = await makeToken(a, 1);
    const own = (host: Host, name: string) =>
      copyOfIdentity(host, join(lab.find("b").folder, name));

    /** Joins by way of b, whose port somebody else has now. */
    const meet = async (t: Test, folder: string, greets: boolean) => {
      const end = await impostor(b, folder, greets);
      const said = await refused(t, c, ["join", b.address, "--foreground"], { DENIM_TOKEN: token });
      const heard = await end();
      t.equal(heard.length, 1, "it was asked once");
      return { ...said, heard: heard[0]! };
    };

    await t.test("with another CA it hears nothing at all", async (t) => {
      const evil = await (await testCluster()).issue("n-1");
      const folder = writeCredentials(join(b.folder, "evil"), evil);
      const { status, code, err, heard } = await meet(t, folder, true);
      t.same([status, code], [4, "JOIN_CA_MISMATCH"]);
      t.match(err, /its CA is [0-9a-f ]+…, the token pins/);
      t.equal(heard.inside, "");
      t.same(heard.sealed.filter((bytes) => bytes > FINISHED_BYTES), []);
    });

    await t.test("nor with the right CA's certificate behind one that it has not signed", async (t) => {
      const evil = await (await testCluster()).issue("n-1");
      const folder = writeCredentials(join(b.folder, "sly"), evil);
      copyFileSync(join(a.stateDir, "identity", "ca.pem"), join(folder, "ca.pem"));
      const { status, code, heard } = await meet(t, folder, true);
      t.same([status, code], [4, "JOIN_CA_MISMATCH"]);
      t.equal(heard.inside, "");
      t.same(heard.sealed.filter((bytes) => bytes > FINISHED_BYTES), []);
    });

    await t.test("an agent of the cluster hears a greeting, and no secret", async (t) => {
      const { status, code, err, heard } = await meet(t, own(b, "agent"), true);
      t.same([status, code], [4, "JOIN_REFUSED"]);
      t.match(err, /is an agent/);
      const kinds = (messagesIn(heard) as { t: string }[]).map(({ t }) => t);
      t.same(kinds, ["hello", "welcome"]);
      t.notOk(reveals(heard, token));
    });

    await t.test("the real port of an agent names the servers, and hears no secret", async (t) => {
      await b.startDaemon(onNode, ["run"]);
      await untilReady([b]);
      const words = ["join", b.address, "--foreground"];
      const { status, code, err } = await refused(t, c, words, { DENIM_TOKEN: token });
      t.same([status, code], [4, "JOIN_REFUSED"]);
      t.match(err, /192\.0\.2\.1/);
      await b.daemon!.stop();
    });

    await t.test("the same eyes see the secret where a server's certificate is shown", async (t) => {
      const { heard } = await meet(t, own(a, "server"), true);
      t.ok(reveals(heard, token));
      t.ok(heard.sealed.some((bytes) => bytes > FINISHED_BYTES));
    });

    await t.test("and the token is as good as it was", async (t) => {
      await joinBy(c, onNode, a, token);
      t.ok(c.daemon!.isRunning);
    });
  },
);
