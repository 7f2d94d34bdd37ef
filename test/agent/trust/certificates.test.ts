/** A node's papers over a cluster in memory, with real certificates and a clock of the test. */
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Authority } from "../../../src/agent/trust/authority.ts";
import { Certificates } from "../../../src/agent/trust/certificates.ts";
import { DenimError } from "../../../src/base/errors.ts";
import { seededRandom } from "../../../src/base/random.ts";
import type { Ca } from "../../../src/lease/records.ts";
import { IdentityFolder } from "../../../src/store/identity.ts";
import { caId, NODE_CERTIFICATE_MS } from "../../../src/transport/certificate.ts";
import type { Credentials } from "../../../src/transport/credentials.ts";
import { createCa, createCsr, createKey, issueCertificate } from "../../../src/transport/pki.ts";
import { FakeClock, settle } from "../../support/clock.ts";
import { until } from "../../support/fast-clock.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { initCommand } from "../../support/ledger.ts";
import { RecordingLogger } from "../../support/log.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";

const { clusterId } = initCommand();
const DAY_MS = 86_400_000;

class Bearer {
  readonly clock = new FakeClock();
  readonly cluster = new MemoryCluster(this.clock);
  readonly log = new RecordingLogger();
  readonly identity: IdentityFolder;
  readonly reloads: Credentials[] = [];
  refuse = false;
  /** Who is asked to sign never answers. */
  silent = false;
  asked = 0;
  certificates!: Certificates;
  ca!: { certPem: string; keyPem: string };
  /** By id, whoever signs. */
  readonly cas = new Map<string, { certPem: string; keyPem: string }>();

  private constructor(folder: string) {
    this.identity = new IdentityFolder(join(folder, "identity"));
  }

  static async start(t: Test, seed = 1): Promise<Bearer> {
    const bearer = new Bearer(temporaryFolder(t));
    const { clock, cluster, identity } = bearer;
    bearer.ca = await createCa(clusterId, clock);
    bearer.cas.set(caId(bearer.ca.certPem), bearer.ca);
    const key = await createKey();
    const wanted = { clusterId, nodeId: "id0", role: "server" as const };
    const cert = await issueCertificate(bearer.ca, await createCsr(key), wanted, clock);
    const credentials = { key, cert, caBundle: bearer.ca.certPem };
    await identity.writePem("caKey", bearer.ca.keyPem);
    const authority = new Authority({
      ...{ state: () => cluster.view().state, caBundle: credentials.caBundle },
      caKeys: () => identity.readPem("caKey"),
      keepCaKeys: (keys) => identity.writePem("caKey", keys!),
    });
    bearer.certificates = new Certificates({
      ...{ nodeId: "id0", cluster, identity, authority, credentials, clock },
      ...{ random: seededRandom(seed), logger: bearer.log, isServer: () => true },
      reload: (next) => bearer.reloads.push(next),
      renew: async (csr) => {
        bearer.asked++;
        if (bearer.silent) await new Promise(() => {});
        if (bearer.refuse) throw new DenimError("PEER_UNREACHABLE", "nobody is there");
        const signer = bearer.cas.get(authority.signerId)!;
        return await issueCertificate(signer, csr, wanted, clock);
      },
    });
    t.teardown(() => bearer.certificates[Symbol.asyncDispose]());
    return bearer;
  }

  /** Days pass, and what they bring is done. */
  async live(days: number): Promise<void> {
    for (let day = 0; day < days; day++) {
      await this.#rests();
      await this.clock.advance(DAY_MS);
    }
    await this.settle();
  }

  /** What has been begun is done, and what a few tries more bring. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) {
      await this.#rests();
      await this.clock.advance(1_000);
    }
    await this.#rests();
  }

  /** Signing and writing take real time, however much: then it waits for another day. */
  async #rests(): Promise<void> {
    await settle();
    await until("it waits", () => this.clock.waiting > 0 || (this.silent && this.asked > 0));
  }

  async newCa(): Promise<Ca> {
    const ca = await createCa(clusterId, this.clock);
    const id = caId(ca.certPem);
    this.cas.set(id, ca);
    return { id, certPem: ca.certPem };
  }

  get trust() {
    return this.cluster.view().state.get("node", "id0")!.body.trust;
  }
}

t.test("a certificate is renewed between half and four fifths of its life", async (t) => {
  const shares: number[] = [];
  for (const seed of [1, 2, 3]) {
    const bearer = await Bearer.start(t, seed);
    const madeMs = bearer.clock.wallMs();
    shares.push((bearer.certificates.term.renewMs - madeMs) / NODE_CERTIFICATE_MS);
    await bearer.live(44);
    t.equal(bearer.asked, 0);
    await bearer.live(30);
    t.equal(bearer.asked, 1);
    t.equal(bearer.reloads.length, 1, "connections from now on show it");
    const onDisk = await bearer.identity.readPem("cert");
    t.equal(bearer.reloads[0]!.cert.trim(), onDisk!.trim());
    t.ok(bearer.certificates.term.endsMs > madeMs + NODE_CERTIFICATE_MS + 40 * DAY_MS);
  }
  t.ok(shares.every((share) => share >= 0.5 && share <= 0.8), `${shares}`);
  t.equal(new Set(shares).size, 3, "a fleet does not come all at once");
});

t.test("who is told to stop waits for no signature", async (t) => {
  const bearer = await Bearer.start(t);
  bearer.silent = true;
  await bearer.live(75);
  t.equal(bearer.asked, 1);
  await bearer.certificates[Symbol.asyncDispose]();
  t.equal(bearer.reloads.length, 0);
});

t.test("the key stays: there is one file to put in another's place", async (t) => {
  const bearer = await Bearer.start(t);
  const before = bearer.certificates.term.endsMs;
  await bearer.live(75);
  const [renewed] = bearer.reloads;
  t.ok(bearer.certificates.term.endsMs > before);
  const spki = new X509Certificate(renewed!.cert).publicKey.export({ type: "spki", format: "pem" });
  const { createPublicKey } = await import("node:crypto");
  t.equal(createPublicKey(renewed!.key).export({ type: "spki", format: "pem" }), spki);
});

t.test("whoever cannot be reached is asked again, and it is told once", async (t) => {
  const bearer = await Bearer.start(t);
  bearer.refuse = true;
  await bearer.live(75);
  t.ok(bearer.asked > 1, `asked ${bearer.asked} times`);
  const told = () => bearer.log.lines.filter((line) => /not in order/.test(line)).length;
  t.equal(told(), 1);
  t.equal(bearer.reloads.length, 0);
  bearer.refuse = false;
  await bearer.live(1);
  t.equal(bearer.reloads.length, 1);
});

t.test("a node follows the cluster to another CA, and says so at each step", async (t) => {
  const bearer = await Bearer.start(t);
  const former = { id: caId(bearer.ca.certPem), certPem: bearer.ca.certPem };
  await bearer.settle();
  t.equal(bearer.trust, undefined, "nobody wants to know yet");
  const next = await bearer.newCa();
  bearer.cluster.apply({ kind: "ca.add", former, next });
  await bearer.settle();
  t.same(bearer.trust, { cas: [former.id, next.id], issuer: former.id });
  t.equal((await bearer.identity.readPem("ca"))!.match(/BEGIN/g)!.length, 2);
  t.equal(bearer.asked, 0);
  const keys = `${bearer.ca.keyPem}${bearer.cas.get(next.id)!.keyPem}`;
  await bearer.identity.writePem("caKey", keys);
  bearer.cluster.apply({ kind: "ca.use", ca: next.id });
  await bearer.settle();
  t.same(bearer.trust, { cas: [next.id, former.id], issuer: next.id });
  t.equal(bearer.asked, 1);
  bearer.cluster.apply({ kind: "ca.drop", ca: former.id });
  await bearer.settle();
  t.same(bearer.trust, { cas: [next.id], issuer: next.id });
  t.equal(bearer.reloads.at(-1)!.caBundle.trim(), next.certPem.trim());
  const left = await bearer.identity.readPem("caKey");
  t.equal(left!.trim(), bearer.cas.get(next.id)!.keyPem.trim(), "the former key is forgotten");
});

t.test("a certificate that this node could not use is not put on disk", async (t) => {
  const bearer = await Bearer.start(t);
  const before = await bearer.identity.readPem("cert");
  const stranger = await bearer.newCa();
  bearer.cas.set(caId(bearer.ca.certPem), bearer.cas.get(stranger.id)!);
  await bearer.live(75);
  t.ok(bearer.asked > 0);
  t.equal(bearer.reloads.length, 0);
  t.equal(await bearer.identity.readPem("cert"), before);
});
