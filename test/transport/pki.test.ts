import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { systemClock } from "../../src/base/clock.ts";
import {
  caPin,
  judgeCertificate,
  keyFits,
  readIdentity,
  splitBundle,
} from "../../src/transport/certificate.ts";
import { createCa, createCsr, createKey, issueCertificate } from "../../src/transport/pki.ts";
import { FakeClock } from "../support/clock.ts";
import { testCluster } from "../support/pki.ts";

const DAY_MS = 86_400_000;
const clock = systemClock();

t.test("a server's certificate carries its identity and may serve, an agent's may not", async (t) => {
  const cluster = await testCluster();
  const server = readIdentity((await cluster.issue("n-1", "server")).cert);
  const agent = readIdentity((await cluster.issue("n-2", "agent")).cert);
  t.same([server.clusterId, server.nodeId, server.canServe], ["amber", "n-1", true]);
  t.same([agent.clusterId, agent.nodeId, agent.canServe], ["amber", "n-2", false]);
});

t.test("a node certificate lives 90 days and is backdated by an hour", async (t) => {
  const then = new FakeClock(1_800_000_000_000);
  const ca = await createCa("amber", then);
  const csr = await createCsr(await createKey());
  const wanted = { clusterId: "amber", nodeId: "n-1", role: "agent" } as const;
  const cert = await issueCertificate(ca, csr, wanted, then);
  const judge = (atMs: number) => () => judgeCertificate(cert, ca.certPem, then.wallMs() + atMs);
  t.doesNotThrow(judge(-3_590_000));
  t.doesNotThrow(judge(90 * DAY_MS - 1_000));
  t.throws(judge(-3_610_000), { code: "PEER_REFUSED" });
  t.throws(judge(90 * DAY_MS + 1_000), { code: "PEER_REFUSED" });
  t.equal(readIdentity(cert).notAfterMs, then.wallMs() + 90 * DAY_MS);
});

t.test("a certificate of another CA is refused, also one of the same name", async (t) => {
  const [ours, theirs] = [await testCluster("amber"), await testCluster("amber")];
  const { cert } = await theirs.issue("n-1");
  t.throws(() => judgeCertificate(cert, ours.ca.certPem, clock.wallMs()), { code: "PEER_REFUSED" });
});

t.test("a certificate in which a name was changed is refused", async (t) => {
  const cluster = await testCluster();
  const { cert } = await cluster.issue("n-1");
  const forged = Uint8Array.from(atob(cert.split("\n").slice(1, -2).join("")), codeOf);
  for (let at = 0; at < forged.length; at++) {
    if (String.fromCharCode(...forged.subarray(at, at + 3)) === "n-1") forged[at + 2] = codeOf("2");
  }
  t.equal(readIdentity(forged).nodeId, "n-2");
  t.throws(() => judgeCertificate(forged, cluster.ca.certPem, clock.wallMs()), {
    code: "PEER_REFUSED",
  });
});

t.test("a node's certificate cannot issue others", async (t) => {
  const cluster = await testCluster();
  const node = await cluster.issue("n-1");
  const csr = await createCsr(await createKey());
  const wanted = { clusterId: "amber", nodeId: "n-evil", role: "server" } as const;
  const issuer = { certPem: node.cert, keyPem: node.key };
  const forged = await issueCertificate(issuer, csr, wanted, clock);
  const bundle = cluster.ca.certPem + node.cert;
  t.throws(() => judgeCertificate(forged, bundle, clock.wallMs()), { code: "PEER_REFUSED" });
});

t.test("any CA of a bundle will do, so that a CA can be replaced", async (t) => {
  const [old, next] = [await testCluster(), await testCluster()];
  const bundle = `${old.ca.certPem}\n${next.ca.certPem}`;
  t.equal(splitBundle(bundle).length, 2);
  for (const cluster of [old, next]) {
    const { cert } = await cluster.issue("n-1");
    t.equal(judgeCertificate(cert, bundle, clock.wallMs()).nodeId, "n-1");
  }
});

t.test("the pin is of the CA's key", async (t) => {
  const [one, other] = [await testCluster(), await testCluster()];
  t.equal(caPin(one.ca.certPem).length, 20);
  t.same(caPin(one.ca.certPem), caPin(one.ca.certPem));
  t.not(String(caPin(one.ca.certPem)), String(caPin(other.ca.certPem)));
});

t.test("key and certificate are known to be a pair or not", async (t) => {
  const cluster = await testCluster();
  const [one, other] = [await cluster.issue("n-1"), await cluster.issue("n-2")];
  t.ok(keyFits(one.key, one.cert));
  t.notOk(keyFits(one.key, other.cert));
});

t.test("openssl agrees with the chain", {
  skip: hasOpenssl() ? false : "openssl is not installed",
}, async (t) => {
  const cluster = await testCluster();
  const folder = mkdtempSync(join(tmpdir(), "denim-pki-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [ca, cert] = [join(folder, "ca.pem"), join(folder, "cert.pem")];
  writeFileSync(ca, cluster.ca.certPem);
  writeFileSync(cert, (await cluster.issue("n-1")).cert);
  const verify = (...more: string[]) =>
    execFileSync("openssl", ["verify", ...more, "-CAfile", ca, cert], { encoding: "utf8" });
  t.match(verify("-purpose", "sslserver"), /OK/);
  t.match(verify("-purpose", "sslclient"), /OK/);
});

function codeOf(letter: string): number {
  return letter.charCodeAt(0);
}

function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
