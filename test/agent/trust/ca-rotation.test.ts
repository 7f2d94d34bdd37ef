/** Whole nodes over real files and TLS on loopback, whose CA is changed while they run. */
import t from "tap";
import { systemClock } from "../../../src/base/clock.ts";
import { FEATURES } from "../../../src/lease/feature-level.ts";
import { caId, issuerId } from "../../../src/transport/certificate.ts";
import { Handlers } from "../../../src/transport/handlers.ts";
import { createCsr, createKey, issueCertificate } from "../../../src/transport/pki.ts";
import { KIND, PROTOCOL } from "../../../src/transport/protocol.ts";
import { tlsTransport } from "../../../src/transport/tls-transport.ts";
import { until } from "../../support/fast-clock.ts";
import { eventually } from "../../support/lab.ts";
import { FOUND, RealHost, threeVoters, tokenOf } from "../../support/real-host.ts";

async function papersOf({ parts: { identity } }: RealHost) {
  const [cert, ca, keys] = await Promise.all(
    [identity.readPem("cert"), identity.readPem("ca"), identity.readPem("caKey")],
  );
  return { issuer: issuerId(cert!, ca!), cas: ca!.match(/BEGIN/g)!.length, keys };
}

function leaderOf(hosts: readonly RealHost[]): RealHost {
  return hosts.find(({ node }) => node.control.replica?.leads === true)!;
}

t.test("a CA takes another's place while everybody stays connected", async (t) => {
  const hosts = await threeVoters(t);
  const [first] = hosts;
  const before = caId((await first.parts.identity.readPem("ca"))!);
  const oldToken = await tokenOf(first);
  const { term } = first.node.control.replica!.status();
  // Asked of whoever does not lead: it is passed on.
  const asked = hosts.find((host) => host !== leaderOf(hosts))!;
  await asked.node.control.errands.rotateCa({ leaveSilent: false });
  await until("one CA is left", () => {
    const { authority } = first.node.control.trust;
    return authority.signerId !== before && authority.bundle.match(/BEGIN/g)!.length === 1;
  });
  const after = first.node.control.trust.authority.signerId;
  await until(
    "all have followed",
    () => hosts.every(({ node }) => node.control.trust.authority.signerId === after),
  );
  await eventually("the former CA is off every disk", async () => {
    const papers = await Promise.all(hosts.map(papersOf));
    const isOff = papers.every(({ issuer, cas, keys }) =>
      issuer === after && cas === 1 && keys!.match(/BEGIN/g)!.length === 1
    );
    return isOff || undefined;
  });
  t.equal(first.node.control.replica!.status().term, term, "nobody had to be elected");
  const lost = hosts.flatMap(({ log }) => log.lines.filter((line) => /lost a server/.test(line)));
  t.same(lost, [], "no connection was dropped");

  const way = (token: string) => ({
    ...{ kind: "join" as const, addresses: [first.address], replace: undefined, keepTrying: false },
    token: () => Promise.resolve(token),
  });
  await t.rejects(RealHost.enter(t, 4, way(oldToken)), { code: "JOIN_CA_MISMATCH" });
  const fourth = await RealHost.enter(t, 5, way(await tokenOf(first)));
  t.equal((await papersOf(fourth)).issuer, after);

  // Who starts again shows what is on its disk now.
  await asked.stop();
  await asked.start();
  await until("it is back", () => asked.votes);
});

t.test("a server that is away is waited for, and named", async (t) => {
  const hosts = await threeVoters(t);
  const leader = leaderOf(hosts);
  const away = hosts.find((host) => host !== leader)!;
  await away.stop();
  await t.rejects(leader.node.control.errands.rotateCa({ leaveSilent: false }), {
    code: "PEER_UNREACHABLE",
    message: new RegExp(away.node.record.name),
    fix: /denim node rm/,
  });
  t.equal((await papersOf(leader)).cas, 1, "nothing has begun");
});

t.test("who came by a stolen CA key as nobody's node is gone with that CA", async (t) => {
  const host = await RealHost.enter(t, 1, FOUND);
  const { identity } = host.parts;
  const [certPem, keyPem] = [await identity.readPem("ca"), await identity.readPem("caKey")];
  const { clusterId, epoch } = (await identity.read("node"))!;
  const nodeId = "n-00000000beef";
  const key = await createKey();
  const signer = { certPem: certPem!, keyPem: keyPem! };
  const wanted = { clusterId, nodeId, role: "server" as const };
  const cert = await issueCertificate(signer, await createCsr(key), wanted, systemClock());
  const incarnation = { counter: 1, startId: "thief" };
  const { channel } = await tlsTransport({ key, cert, caBundle: certPem! }).dial(host.address, {
    clock: systemClock(),
    admit: () => ({ ok: true }),
    hello: {
      ...{ wants: "watch", version: "0", protocol: PROTOCOL, features: FEATURES },
      ...{ clusterId, nodeId, epoch, role: "server", storeId: "s", incarnation },
      starts: [incarnation],
    },
  });
  channel.start(new Handlers());
  await channel.request(KIND.read, {}, { timeoutMs: 5_000 });
  await host.node.control.errands.rotateCa({ leaveSilent: false });
  await until("it is put out", () => channel.isClosed);
  t.equal((await papersOf(host)).cas, 1);
});
