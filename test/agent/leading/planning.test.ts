/** What a leader does for the group, with a replica that does at once what it is asked. */
import t, { type Test } from "tap";
import { Errands } from "../../../src/agent/control/errands.ts";
import type { Mesh } from "../../../src/agent/control/mesh.ts";
import { Planning } from "../../../src/agent/leading/planning.ts";
import { DenimError } from "../../../src/base/errors.ts";
import { applyGroup } from "../../../src/lease/apply.ts";
import type { Command } from "../../../src/lease/command.ts";
import { theGroup } from "../../../src/lease/state.ts";
import type { Change } from "../../../src/raft/mod.ts";
import type { Replica } from "../../../src/replica/replica.ts";
import { KIND } from "../../../src/transport/protocol.ts";
import { FakeClock } from "../../support/clock.ts";
import { Ledger } from "../../support/ledger.ts";
import { RecordingLogger } from "../../support/log.ts";

/** Host 0 leads as raft id 1; hosts 1 … are servers of raft ids 2 …, all of them connected. */
class Leader {
  readonly clock = new FakeClock();
  readonly log = new RecordingLogger();
  readonly ledger = Ledger.open();
  readonly steps: string[] = [];
  readonly keys: string[] = [];
  /** Servers that are not there. */
  readonly dead = new Set<number>();
  readonly refusing = new Set<string>();
  leads = true;
  caKey: string | undefined = "the key";
  readonly planning: Planning;

  constructor(t: Test, servers: number) {
    for (let n = 1; n < servers; n++) this.ledger.join(n, { role: "server" });
    this.planning = new Planning({
      isDiskLow: () => false,
      self: "id0",
      state: () => this.ledger.state,
      replica: () => this.replica,
      mesh: this.mesh,
      caKey: () => Promise.resolve(this.caKey),
      ...{ clock: this.clock, logger: this.log },
    });
    t.teardown(() => this.planning[Symbol.asyncDispose]());
  }

  get group() {
    return theGroup(this.ledger.state);
  }

  readonly mesh = {
    connected: () =>
      [...this.ledger.state.all("node")]
        .filter(({ body }) => body.raftId !== undefined && !this.dead.has(body.raftId))
        .map(({ key }) => ({ node: key, startId: "a" })),
    channelTo: () => undefined,
    ask: (node: string, kind: string, body: unknown) => {
      if (this.refusing.has(node)) return Promise.reject(new DenimError("STORE_FAILED", "full"));
      this.keys.push(`${node} ${kind} ${(body as { caKey: string }).caKey}`);
      return Promise.resolve(null);
    },
  } as unknown as Mesh;

  readonly #propose = (command: Command) => {
    this.steps.push(command.kind);
    return Promise.resolve().then(() => this.ledger.do(command));
  };

  readonly replica = Object.defineProperty(
    {
      raftId: 1,
      propose: this.#propose,
      proposeHere: this.#propose,
      changeGroup: async (change: Change) => {
        this.steps.push(`${change.kind} ${change.id}`);
        const without = (ids: readonly number[]) => ids.filter((id) => id !== change.id);
        const [voters, learners] = [without(this.group.voters), without(this.group.learners)];
        applyGroup(this.ledger.state, ++this.ledger.index, {
          voters: change.kind === "add-voter" ? [...voters, change.id] : voters,
          learners: change.kind === "add-learner" ? [...learners, change.id] : learners,
        });
      },
      transferLeadership: (to: number) => {
        this.steps.push(`transfer ${to}`);
        this.leads = false;
      },
      status: () => {
        const { voters, learners } = this.group;
        const progress = [...voters, ...learners].filter((id) => id !== 1).map((id) => ({
          ...{ id, silentTicks: this.dead.has(id) ? 100 : 0, state: "replicate", match: 100 },
        }));
        const configuration = { voters, learners };
        return { id: 1, role: "leader", leader: 1, commit: 100, configuration, progress };
      },
      view: () => ({ leaderNode: this.leads ? "id0" : undefined }),
    },
    "leads",
    { get: () => this.leads },
  ) as unknown as Replica;
}

t.test("three servers become three voters, each with the CA key before it has the log", async (t) => {
  const leader = new Leader(t, 3);
  await leader.clock.advance(3_000);
  t.same(leader.group, { voters: [1, 2, 3], learners: [] });
  t.same(leader.keys, ["id1", "id2"].map((node) => `${node} ${KIND.ca} the key`));
  t.same(leader.steps, ["add-learner 2", "add-learner 3", "add-voter 2", "add-voter 3"]);
});

t.test("two servers are one voter and a standby", async (t) => {
  const leader = new Leader(t, 2);
  await leader.clock.advance(3_000);
  t.same(leader.group, { voters: [1], learners: [2] });
});

t.test("a server that does not take the key holds nobody up", async (t) => {
  const leader = new Leader(t, 4);
  leader.refusing.add("id1");
  await leader.clock.advance(3_000);
  t.same(leader.group, { voters: [1, 3, 4], learners: [] });
  t.equal(leader.log.lines.filter((line) => /^warn .*full/.test(line)).length, 1, "said once");
  leader.refusing.clear();
  await leader.clock.advance(15_000);
  t.same(leader.group.learners, [2]);
});

t.test("who cannot change the group still sees who is silent", async (t) => {
  const leader = new Leader(t, 2);
  leader.caKey = undefined;
  leader.ledger.join(7);
  await leader.clock.advance(45_000);
  t.same(leader.group, { voters: [1], learners: [] });
  t.equal(leader.ledger.state.get("node", "id7")?.body.silent, true);
  t.ok(leader.log.lines.some((line) => /does not have the CA key/.test(line)));
});

t.test("a dead voter is put out of a group of three", async (t) => {
  const leader = new Leader(t, 3);
  await leader.clock.advance(3_000);
  leader.dead.add(3);
  const removed = leader.planning.letGo("id2", "remove");
  await leader.clock.advance(3_000);
  await removed;
  t.equal(leader.ledger.state.get("node", "id2"), undefined);
  t.ok(leader.ledger.state.get("tombstone", "id2"));
  t.same(leader.group, { voters: [1], learners: [2] }, "two are one voter and a standby");
});

t.test("who was asked to go once before goes all the same", async (t) => {
  const leader = new Leader(t, 3);
  await leader.clock.advance(3_000);
  leader.dead.add(2).add(3);
  const first = leader.planning.letGo("id1", "stand-down").catch((error: DenimError) => error.code);
  await leader.clock.advance(20_000);
  const removed = leader.planning.letGo("id1", "remove").then(() => "removed");
  await leader.clock.advance(26_000);
  t.equal(await first, "TIMEOUT");
  leader.dead.delete(3);
  await leader.clock.advance(3_000);
  t.equal(await Promise.race([removed, Promise.resolve("still there")]), "removed");
});

t.test("a voter that is away for a minute makes room for a standby", async (t) => {
  const leader = new Leader(t, 4);
  await leader.clock.advance(3_000);
  t.same(leader.group, { voters: [1, 2, 3], learners: [4] });
  leader.dead.add(3);
  await leader.clock.advance(59_000);
  t.same(leader.group.voters, [1, 2, 3], "a restart takes less");
  await leader.clock.advance(3_000);
  t.same(leader.group, { voters: [1, 2, 4], learners: [3] });
  t.same(leader.steps.slice(-2), ["add-learner 3", "add-voter 4"]);
  leader.dead.clear();
  await leader.clock.advance(90_000);
  t.same(leader.group.voters, [1, 2, 4], "and finds its place taken");
});

t.test("a new leader gives everybody a minute of its own", async (t) => {
  const leader = new Leader(t, 4);
  await leader.clock.advance(3_000);
  leader.dead.add(3);
  await leader.clock.advance(50_000);
  leader.leads = false;
  await leader.clock.advance(1_000);
  leader.leads = true;
  await leader.clock.advance(50_000);
  t.same(leader.group.voters, [1, 2, 3]);
  await leader.clock.advance(12_000);
  t.same(leader.group.voters, [1, 2, 4]);
});

t.test("who is gone ten minutes after it was last heard never holds the log", async (t) => {
  const leader = new Leader(t, 1);
  leader.ledger.join(1, { role: "server", ephemeral: true });
  leader.ledger.join(2, { role: "server", zone: "rack2" });
  await leader.clock.advance(10_000);
  t.same(leader.group, { voters: [1], learners: [3] });
});

t.test("a leader that stops hands over, and changes no roles", async (t) => {
  const leader = new Leader(t, 3);
  await leader.clock.advance(3_000);
  const before = leader.group;
  await leader.planning[Symbol.asyncDispose]();
  t.equal(leader.steps.at(-1), "transfer 2");
  t.same(leader.group, before);
  const alone = new Leader(t, 2);
  await alone.clock.advance(3_000);
  await alone.planning[Symbol.asyncDispose]();
  t.equal(alone.steps.at(-1), "add-learner 2", "a standby cannot lead");
});

t.test("a subnet is kept for the name of who leaves and says so", async (t) => {
  const leader = new Leader(t, 1);
  const subnet = leader.ledger.joinedSubnet(5);
  await leader.planning.letGo("id5", "leave-keeping");
  t.same(leader.ledger.state.get("reservation", subnet)?.body, { nodeName: "host5" });
});

t.test("who is in no group goes at once, also twice", async (t) => {
  const leader = new Leader(t, 1);
  leader.ledger.join(5);
  await leader.planning.letGo("id5", "leave");
  t.equal(leader.ledger.state.get("node", "id5"), undefined);
  await leader.planning.letGo("id5", "leave");
  t.equal(leader.steps.filter((step) => step === "node.leave").length, 1);
});

t.test("a leader that goes hands over first", async (t) => {
  const leader = new Leader(t, 3);
  await leader.clock.advance(3_000);
  const left = leader.planning.letGo("id0", "leave");
  await Promise.all([
    t.rejects(left, { code: "NOT_LEADER" }),
    leader.clock.advance(3_000),
  ]);
  t.equal(leader.steps.at(-1), "transfer 2");
  await t.rejects(leader.planning.letGo("id0", "leave"), { code: "NOT_LEADER" });
});

t.test("the only server cannot go while others live by it, and hears why", async (t) => {
  const leader = new Leader(t, 1);
  leader.ledger.join(5);
  const left = leader.planning.letGo("id0", "leave");
  await Promise.all([
    t.rejects(left, { code: "TIMEOUT", fix: /bring another server up/ }),
    leader.clock.advance(35_000),
  ]);
  t.same(leader.group, { voters: [1], learners: [] });
});

function errands(leader: Leader, more: Partial<ConstructorParameters<typeof Errands>[0]>): Errands {
  return new Errands({
    ...{ self: "id1", mesh: leader.mesh, planning: leader.planning, clock: leader.clock },
    rotation: { begin: () => Promise.resolve() },
    replica: () => undefined,
    upstream: () => undefined,
    isOut: () => false,
    otherServers: () => [],
    ownRoutes: () => ["mine"],
    explain: (error) => error,
    ...more,
  });
}

t.test("who is out hears so from any server, though its own connection was lost", async (t) => {
  const leader = new Leader(t, 1);
  let isOut = false;
  const upstream = () => {
    isOut = true;
    throw new DenimError("CONNECTION_LOST", "gone");
  };
  const own = errands(leader, { upstream, isOut: () => isOut });
  await own.letGo("id1", "leave");
  const other = errands(leader, { upstream, isOut: () => isOut });
  await Promise.all([
    t.rejects(other.letGo("id2", "remove"), { code: "CONNECTION_LOST" }),
    leader.clock.advance(60_000),
  ]);
});

t.test("who is told that it is no member has left, on whatever connection it hears it", async (t) => {
  const leader = new Leader(t, 1);
  const upstream = () => {
    throw new DenimError("NOT_A_MEMBER", "it left");
  };
  await errands(leader, { upstream }).letGo("id1", "leave");
  await t.rejects(errands(leader, { upstream }).letGo("id2", "remove"), { code: "NOT_A_MEMBER" });
});

t.test("the own routes are at hand, others' are asked for where that node is connected", async (t) => {
  const leader = new Leader(t, 1);
  t.same(await errands(leader, {}).routesOf("id1", "anywhere"), ["mine"]);
  await t.rejects(errands(leader, {}).routesOf("id2", "anywhere"), { code: "PEER_UNREACHABLE" });
});
