/** A cluster under random loss, repetition, delay, crashes and changes, and what must hold. */
import { type Random, seededRandom } from "../../src/base/random.ts";
import type { Change, Entry, Message, Ready } from "../../src/raft/mod.ts";
import { LabServer, type ServerStart } from "./lab.ts";

const IDS = [1, 2, 3, 4, 5];

/** Servers 4 and 5 start outside, and come in by changes. */
const START: ServerStart = {
  preVote: true,
  checkQuorum: true,
  maxInflightMessages: 4,
  maxAppendBytes: 400,
  restored: {
    hardState: { term: 1, vote: 0, commit: 1 },
    snapshot: { index: 1, term: 1 },
    entries: [],
    applied: 1,
    configuration: { voters: [1, 2, 3], learners: [] },
  },
};

export class RandomCluster {
  readonly servers: LabServer[];
  readonly #random: Random;
  readonly #network: Message[] = [];
  readonly #leaders = new Map<number, number>();
  readonly #committed = new Map<number, Entry>();
  readonly #seen = new Map<number, { term: number; commit: number }>();
  #proposals = 0;
  /** Every step in a word each: equal seeds give equal traces. */
  readonly trace: string[] = [];

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    const { restored, ...rest } = START;
    const nothing = {
      hardState: { term: 0, vote: 0, commit: 0 },
      snapshot: { index: 0, term: 0 },
      entries: [],
      applied: 0,
      configuration: { voters: [], learners: [] },
    };
    this.servers = IDS.map((id) =>
      new LabServer(id, { ...rest, seed: seed * 10 + id, restored: id <= 3 ? restored! : nothing })
    );
  }

  get committed(): number {
    return this.#committed.size;
  }

  /** One random thing happens; then everything that must hold is looked at. */
  step(): void {
    const server = this.servers[this.#random.below(this.servers.length)]!;
    const chance = this.#random.below(200);
    if (chance < 30) server.tick();
    else if (chance < 90) this.#work(server);
    else if (chance < 180) this.#deliver();
    else if (chance < 190) this.#propose();
    else if (chance < 194) this.#change();
    else if (chance < 197) this.#read(server);
    else if (chance < 199) this.#compact(server);
    else this.#crash(server, "idle");
    this.check();
  }

  /** No more faults: everybody talks until all have the same, or it takes too long. */
  heal(): boolean {
    for (let round = 0; round < 400; round++) {
      for (const server of this.servers) {
        server.tick();
        this.#network.push(...server.work());
      }
      for (const message of this.#network.splice(0)) this.#arrive(message);
      this.check();
      if (this.#isSettled()) return true;
    }
    return false;
  }

  #isSettled(): boolean {
    const leader = this.servers.find(({ raft }) => raft.role === "leader")?.raft;
    if (leader === undefined || leader.commit !== leader.lastIndex) return false;
    const { voters, learners } = leader.configuration;
    return [...voters, ...learners].every((id) => {
      const { raft } = this.servers[id - 1]!;
      return raft.applied === leader.lastIndex && raft.term === leader.term;
    });
  }

  /** A Ready, with a crash at any of its steps now and then. */
  #work(server: LabServer): void {
    if (!server.raft.hasReady()) return;
    const ready = server.raft.ready();
    const crash = this.#random.below(40);
    if (ready.sendEarly) this.#send(ready);
    if (crash === 0) return this.#crash(server, "before the write");
    server.write(ready);
    if (crash === 1) return this.#crash(server, "after the write");
    if (!ready.sendEarly) this.#send(ready);
    if (this.#random.below(4) === 0) this.#deliver();
    server.finish(ready);
    for (const entry of ready.committed) this.#commit(entry);
    this.trace.push(`work ${server.id}`);
  }

  #send(ready: Ready): void {
    this.#network.push(...ready.messages);
  }

  /** Takes any message under way: loses it, delivers it, or delivers it and keeps a copy. */
  #deliver(): void {
    if (this.#network.length === 0) return;
    const at = this.#random.below(this.#network.length);
    const message = this.#network[at]!;
    const fate = this.#random.below(20);
    if (fate !== 0) this.#network.splice(at, 1);
    if (fate === 1 || fate === 2) this.#report(message, false);
    else this.#arrive(message);
  }

  /** The driver's word to the sender on what became of a snapshot. */
  #report({ kind, from, to }: Message, ok: boolean): void {
    if (kind === "snapshot") this.servers[from - 1]!.raft.reportSnapshot(to, ok);
  }

  #arrive(message: Message): void {
    this.servers[message.to - 1]!.raft.step(message);
    this.#report(message, true);
    this.trace.push(`${message.kind} ${message.from}>${message.to}`);
  }

  #crash(server: LabServer, when: string): void {
    server.restart();
    this.trace.push(`crash ${server.id} ${when}`);
  }

  /** Any that thinks it leads. */
  #leader(): LabServer | undefined {
    const leaders = this.servers.filter(({ raft }) => raft.role === "leader");
    return leaders[this.#random.below(leaders.length)];
  }

  #propose(): void {
    this.#leader()?.raft.propose([`p${++this.#proposals}`]);
  }

  /** The guard that is the driver's: first an entry of the leader's own term is committed. */
  #change(): void {
    const raft = this.#leader()?.raft;
    const kinds: Change["kind"][] = ["add-voter", "add-voter", "add-learner", "remove"];
    const kind = kinds[this.#random.below(kinds.length)]!;
    const id = 1 + this.#random.below(IDS.length);
    if (raft === undefined || raft.termAt(raft.commit) !== raft.term || id === raft.id) return;
    raft.proposeChange({ kind, id });
  }

  #read({ raft }: LabServer): void {
    raft.readIndex(`at ${this.#committed.size}`);
  }

  #compact(server: LabServer): void {
    if (server.disk.applied > server.raft.firstIndex) server.compact(server.disk.applied - 1);
  }

  #commit(entry: Entry): void {
    const known = this.#committed.get(entry.index);
    this.#committed.set(entry.index, known ?? entry);
    demand(
      known === undefined || sameEntry(known, entry),
      `committed entries never change: ${JSON.stringify(known)} became ${JSON.stringify(entry)}`,
    );
  }

  check(): void {
    for (const { raft, id } of this.servers) {
      if (raft.role === "leader") {
        const leader = this.#leaders.get(raft.term) ?? id;
        this.#leaders.set(raft.term, leader);
        demand(leader === id, `one leader per term: ${leader} and ${id} in ${raft.term}`);
      }
    }
    for (const server of this.servers) this.#checkStore(server);
    for (const a of this.servers) for (const b of this.servers) if (a.id < b.id) matching(a, b);
  }

  /** What is on disk never goes back: not the term, not the commit index. */
  #checkStore({ id, disk }: LabServer): void {
    const { term, commit } = disk.hardState;
    const before = this.#seen.get(id) ?? { term: 0, commit: 0 };
    demand(term >= before.term, `the term of ${id} went back`);
    demand(commit >= before.commit, `the commit index of ${id} went back`);
    this.#seen.set(id, { term, commit });
    for (const entry of disk.entries.slice(0, Math.max(0, disk.applied - disk.snapshot.index))) {
      const known = this.#committed.get(entry.index);
      demand(known === undefined || sameEntry(known, entry), `${id} lost committed ${entry.index}`);
    }
  }

  /** Every read that was answered saw all that was committed when it was asked. */
  checkReads(): number {
    const reads = this.servers.flatMap((server) => server.reads);
    for (const { context, index } of reads) {
      demand(index > Number(context.slice(3)), `read ${context} was answered at ${index}`);
    }
    return reads.length;
  }
}

/** Raft paper, figure 3: equal index and term, equal logs up to there. */
function matching(a: LabServer, b: LabServer): void {
  const mine = new Map(a.log.map((entry) => [entry.index, entry]));
  const theirs = b.log.filter((entry) => mine.has(entry.index));
  const last = theirs.findLastIndex((entry) => mine.get(entry.index)!.term === entry.term);
  for (const entry of theirs.slice(0, last + 1)) {
    demand(
      sameEntry(mine.get(entry.index)!, entry),
      `logs of ${a.id} and ${b.id} match up to ${theirs[last]?.index}, but not at ${entry.index}`,
    );
  }
}

function sameEntry(a: Entry, b: Entry): boolean {
  return a.index === b.index && a.term === b.term && a.type === b.type && a.data === b.data;
}

function demand(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}
