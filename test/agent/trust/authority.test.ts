/** The keys of CAs on one server's disk, while others come and go. */
import t from "tap";
import { Authority } from "../../../src/agent/trust/authority.ts";
import { CaRotation } from "../../../src/agent/trust/ca-rotation.ts";
import type { Mesh } from "../../../src/agent/control/mesh.ts";
import type { Command } from "../../../src/lease/command.ts";
import type { Ca } from "../../../src/lease/records.ts";
import { theTrust } from "../../../src/lease/trust.ts";
import type { Replica } from "../../../src/replica/replica.ts";
import { caId, keyFits, splitKeys } from "../../../src/transport/certificate.ts";
import { createCa, type KeyPair } from "../../../src/transport/pki.ts";
import { FakeClock } from "../../support/clock.ts";
import { initCommand, LATER } from "../../support/ledger.ts";
import { RecordingLogger } from "../../support/log.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";

const { clusterId } = initCommand();
const clock = new FakeClock();
const [first, second, third] = await Promise.all([1, 2, 3].map(() => createCa(clusterId, clock)));
const caOf = ({ certPem }: KeyPair): Ca => ({ id: caId(certPem), certPem });

class Desk {
  readonly cluster = new MemoryCluster(clock);
  disk: string | undefined = first!.keyPem;
  readonly authority = new Authority({
    state: () => this.cluster.view().state,
    caBundle: first!.certPem,
    caKeys: () => Promise.resolve(this.disk),
    keepCaKeys: async (keys) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      this.disk = keys;
    },
  });

  /** Which of the three keys are on disk. */
  get held(): number[] {
    const keys = splitKeys(this.disk ?? "");
    return [first!, second!, third!].flatMap(({ certPem }, at) =>
      keys.some((key) => keyFits(key, certPem)) ? [at + 1] : []
    );
  }

  async rotate(from: KeyPair, to: KeyPair): Promise<void> {
    const { cluster } = this;
    await cluster.propose({ kind: "ca.add", former: caOf(from), next: caOf(to) });
    await cluster.propose({
      kind: "node.update",
      node: "id0",
      trust: { cas: [caOf(from).id, caOf(to).id], issuer: caOf(to).id },
    });
    await cluster.propose({ kind: "ca.use", ca: caOf(to).id });
    await cluster.propose({ kind: "ca.drop", ca: caOf(from).id });
  }
}

t.test("keys that were sent before the newest was made take none away", async (t) => {
  const desk = new Desk();
  await desk.authority.receive(`${first!.keyPem}${second!.keyPem}`);
  await desk.authority.receive(first!.keyPem);
  t.same(desk.held, [1, 2]);
  await t.rejects(desk.authority.receive(third!.keyPem), { code: "REQUEST_INVALID" });
});

t.test("the next key may come before this server knows that the last change is over", async (t) => {
  const desk = new Desk();
  await desk.authority.receive(`${first!.keyPem}${second!.keyPem}`);
  const { bundle } = desk.authority;
  await desk.rotate(first!, second!);
  const forgets = desk.authority.prune(bundle);
  await Promise.all([forgets, desk.authority.receive(`${second!.keyPem}${third!.keyPem}`)]);
  t.same(desk.held, [2, 3]);
  await desk.authority.drop();
  t.same(desk.held, []);
});

t.test("a state that was restored and names no CA changes nobody's belief", async (t) => {
  const desk = new Desk();
  t.equal(desk.authority.bundle, first!.certPem);
  await desk.rotate(first!, second!);
  t.equal(desk.authority.signerId, caOf(second!).id);
  const restored = {
    kind: "cluster.reform",
    epoch: LATER,
    reason: "restore",
    node: "id0",
  } as const;
  await desk.cluster.propose(restored);
  t.equal(theTrust(desk.cluster.view().state), undefined);
  t.equal(desk.authority.bundle, second!.certPem, "the one of this node's start is long gone");
});

t.test("a leader without the next CA's key does not have it sign, nor send keys about", async (t) => {
  const desk = new Desk();
  const { authority, cluster } = desk;
  await cluster.propose({ kind: "ca.add", former: caOf(first!), next: caOf(second!) });
  const trust = { cas: [first!, second!].map((ca) => caOf(ca).id), issuer: caOf(first!).id };
  await cluster.propose({ kind: "node.update", node: "id0", trust });
  const proposed: Command[] = [];
  const leader = {
    leads: true,
    propose: (command: Command) => Promise.resolve(void proposed.push(command)),
  } as unknown as Replica;
  const logger = new RecordingLogger();
  using rotation = new CaRotation({
    ...{ self: "id0", authority, clock, logger, replica: () => leader },
    state: () => cluster.view().state,
    mesh: { ask: () => t.fail("nothing to send") } as unknown as Mesh,
  });
  await clock.advance(2_000);
  t.same(proposed, []);
  t.ok(logger.lines.some((line) => /does not hold the key of the next CA/.test(line)));
  await authority.receive(`${first!.keyPem}${second!.keyPem}`);
  await clock.advance(2_000);
  t.same(proposed[0], { kind: "ca.use", ca: caOf(second!).id });
  rotation[Symbol.dispose]();
});
