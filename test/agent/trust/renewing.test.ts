/** Who gets a new certificate of a server that can sign, and who does not. */
import t from "tap";
import { renewFor } from "../../../src/agent/trust/renewing.ts";
import { DenimError } from "../../../src/base/errors.ts";
import { systemClock } from "../../../src/base/clock.ts";
import {
  judgeCertificate,
  keyFits,
  NODE_CERTIFICATE_MS,
} from "../../../src/transport/certificate.ts";
import { csrKeyId } from "../../../src/transport/csr.ts";
import { createCsr, createKey } from "../../../src/transport/pki.ts";
import { initCommand, joiner } from "../../support/ledger.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { testCluster } from "../../support/pki.ts";

const { clusterId } = initCommand();
const pki = await testCluster(clusterId);
const clock = systemClock();

/** Host 1 is a member, with a key of its own. */
async function member() {
  const cluster = new MemoryCluster(clock);
  const key = await createKey();
  const csr = await createCsr(key);
  // By the real clock, which its certificate is made by, its first one is about to end.
  const soonMs = Math.floor(clock.wallMs()) + 60_000;
  const node = joiner(1, { csrKey: csrKeyId(csr), certificateEndsWallMs: soonMs });
  cluster.apply({ kind: "node.join", tokenId: "open", node });
  const parts = { cluster, clock, signer: () => Promise.resolve(pki.ca) };
  const endsMs = () => cluster.view().state.get("node", "id1")!.body.certificateEndsWallMs;
  return { ...{ cluster, key, csr, parts, endsMs }, commands: () => cluster.commands.length };
}

t.test("a member gets one under its key, and the cluster knows first when it will end", async (t) => {
  const { parts, csr, key, endsMs } = await member();
  const { certificate } = await renewFor(parts, "id1", { csr });
  t.ok(keyFits(key, certificate));
  const identity = judgeCertificate(certificate, pki.ca.certPem, clock.wallMs());
  t.same([identity.nodeId, identity.canServe], ["id1", false], "the role is the record's");
  t.ok(identity.notAfterMs > clock.wallMs() + NODE_CERTIFICATE_MS - 60_000);
  t.ok(endsMs() > clock.wallMs() + NODE_CERTIFICATE_MS - 60_000);
});

t.test("nobody else does, and nothing is written", async (t) => {
  const { parts, csr, commands, cluster } = await member();
  const before = commands();
  const other = await createCsr(await createKey());
  await t.rejects(renewFor(parts, "id1", { csr: other }), {
    code: "PEER_REFUSED",
    why: /not signed with the key/,
  });
  await t.rejects(renewFor(parts, "id9", { csr }), { code: "PEER_REFUSED", why: /removed/ });
  await t.rejects(renewFor(parts, "id1", { csr: "no request" }), { code: "REQUEST_INVALID" });
  await t.rejects(renewFor(parts, "id1", {}), { code: "REQUEST_INVALID", why: /csr/ });
  const signer = () => Promise.reject(new DenimError("JOIN_REFUSED", "no key is here"));
  await t.rejects(renewFor({ ...parts, signer }, "id1", { csr }), { code: "JOIN_REFUSED" });
  t.equal(commands(), before);
  cluster.apply({ kind: "node.remove", node: "id1" });
  await t.rejects(renewFor(parts, "id1", { csr }), { code: "PEER_REFUSED" });
});
