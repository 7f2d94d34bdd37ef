/** Certificates that live for seconds, and a CA that is changed, under writes and traffic. */
import t from "tap";
import { ApiClient } from "../../src/api/client.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import {
  cannotLab,
  eventually,
  makeLab,
  makeToken,
  NETWORK,
  onNode,
  runInside,
  untilReady,
  untilRouted,
  watchAll,
} from "../support/lab.ts";
import { join } from "node:path";
import { root } from "../support/root.ts";

const TIMEOUT_MS = 600_000;
/** A renewal comes four fifths of it later at the latest: it may then take a fifth. */
const LIFE_MS = 30_000;
const [node, main] = onNode as readonly [string, string];
const mortal: Program = [node, "--import", join(root, "test/support/edit.ts"), main];
const env = {
  DENIM_EDITS: JSON.stringify([{
    file: "src/transport/certificate.ts",
    find: "NODE_CERTIFICATE_MS = 90 * 86_400_000",
    replace: `NODE_CERTIFICATE_MS = ${LIFE_MS}`,
  }]),
};

interface Status {
  readonly certificate: { readonly expires: string; readonly renews: string };
}

async function expiryOf(host: Host): Promise<number> {
  const { certificate } = await host.ask(onNode, ["status"]) as Status;
  return Date.parse(certificate.expires);
}

/** Writes one after the other, each on top of the last one, until it is stopped: what failed. */
function writeConstantly(
  hosts: readonly Host[],
): () => Promise<{ done: number; failed: string[] }> {
  const failed: string[] = [];
  let [done, stopped] = [0, false];
  const run = async () => {
    let etag = "*";
    while (!stopped) {
      const client = new ApiClient(hosts[done % hosts.length]!.socketPath);
      const LeaseTTL = `${3_600_000 + done}ms`;
      const body = JSON.stringify({ Network: NETWORK, LeaseTTL, Backend: { Type: "host-gw" } });
      const headers = { "if-match": etag };
      const answer = await client.text("/v1/network", { method: "PUT", body, headers });
      if (answer.status === 200) {
        etag = `"${(JSON.parse(answer.text) as { revision: string }).revision}"`;
        done++;
      } else {
        failed.push(`${answer.status} ${answer.text}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const running = run();
  return async () => {
    stopped = true;
    await running;
    return { done, failed };
  };
}

t.test("certificates are renewed and the CA is changed while everything goes on", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const lab = await makeLab(t);
  const hosts: Host[] = [];
  for (const name of ["a", "b", "c", "d"]) hosts.push(await lab.addHost(name));
  const [a, b, c, d] = hosts as [Host, Host, Host, Host];
  await a.startDaemon(mortal, ["init", "--network", NETWORK, "--foreground"], env);
  await untilReady([a]);
  for (const [host, role] of [[b, "server"], [c, "server"], [d, "agent"]] as const) {
    const token = await makeToken(a, 1, ["--role", role]);
    const words = ["join", a.address, "--foreground"];
    await host.startDaemon(mortal, words, { ...env, DENIM_TOKEN: token });
    await untilReady([host]);
  }
  await untilRouted(hosts);
  for (const host of hosts) await host.startContainer();
  const pings = await watchAll(hosts);
  const writes = writeConstantly([a, b, c]);
  let newCa = "";

  await t.test("each certificate is renewed before it ends", async (t) => {
    const before = await Promise.all(hosts.map(expiryOf));
    t.ok(before.every((endMs) => endMs < Date.now() + LIFE_MS + 1_000));
    await eventually("all were renewed", async () => {
      const now = await Promise.all(hosts.map(expiryOf));
      return now.every((endMs, n) => endMs > before[n]!) || undefined;
    });
  });

  await t.test("the CA is changed by one command on any host's API", async (t) => {
    const old = await makeToken(a);
    const shown = await b.ask(onNode, ["ca", "show"]) as { signer: { id: string } };
    const after = await b.ask(onNode, ["ca", "rotate"]) as {
      readonly signer: { readonly id: string };
      readonly cas: readonly unknown[];
      readonly rotation: null;
      readonly tokensVoid: number;
    };
    t.not(after.signer.id, shown.signer.id);
    newCa = after.signer.id;
    t.same([after.cas.length, after.rotation, after.tokensVoid], [1, null, 2], "init made one too");
    const late = await lab.addHost("e");
    const said = await runInside(late, ["join", a.address, "--foreground"], { DENIM_TOKEN: old });
    t.equal(said.status, 4);
    t.match(said.err, /JOIN_CA_MISMATCH/);
  });

  await t.test("nothing was lost: no write, no ping, no connection", async (t) => {
    const { done, failed } = await writes();
    t.same(failed, []);
    t.ok(done > 100, `${done} writes`);
    const { text } = await a.get("/v1/network?consistency=linearizable") as { text: string };
    t.match(text, new RegExp(`${3_600_000 + done - 1}ms`), "the last one that was acknowledged");
    t.same(await pings(), []);
    for (const host of hosts) {
      const lost = host.daemon!.logTail(500).filter((line) => /lost (a|the) server/.test(line));
      t.same(lost, [], host.name);
    }
  });

  await t.test("who starts again comes back by its new certificate", async (t) => {
    for (const host of [c, d]) {
      await host.daemon!.stop();
      await host.startDaemon(mortal, ["run"], env);
      await untilReady([host]);
      const { certificate } = await host.ask(onNode, ["status"]) as Status;
      t.ok(Date.parse(certificate.expires) > Date.now(), host.name);
      const { signer } = await host.ask(onNode, ["ca", "show"]) as { signer: { id: string } };
      t.equal(signer.id, newCa, "what is on its disk");
    }
  });
});
