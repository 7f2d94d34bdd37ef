import t from "tap";
import { EpochWatch } from "../../../src/agent/control/epoch-watch.ts";
import { DenimError } from "../../../src/base/errors.ts";
import type { Command } from "../../../src/lease/command.ts";
import { State } from "../../../src/lease/state.ts";
import { FakeClock } from "../../support/clock.ts";
import { EPOCH, HOUR_MS, LATER, Ledger } from "../../support/ledger.ts";
import { RecordingLogger } from "../../support/log.ts";

const FORK = { n: 1, random: "00000000000000cc" };

class Bench {
  readonly clock = new FakeClock();
  readonly log = new RecordingLogger();
  readonly ledger = Ledger.open();
  readonly proposed: Command[] = [];
  isLed = true;
  readonly watch = new EpochWatch({
    cluster: {
      propose: async (command) => {
        if (!this.isLed) throw new DenimError("NO_LEADER", "No server leads the cluster");
        this.proposed.push(command);
        return this.ledger.do(command);
      },
    },
    state: () => this.ledger.state,
    ...{ clock: this.clock, logger: this.log },
  });

  async meet(epoch: typeof EPOCH): Promise<void> {
    this.watch.meet(epoch);
    await this.clock.advance(0);
  }
}

t.test("its own epoch, and one that it has left behind, are nothing to tell", async (t) => {
  const bench = new Bench();
  bench.ledger.reform();
  await bench.meet(LATER);
  await bench.meet(EPOCH);
  t.same([bench.watch.fork, bench.watch.later, bench.log.lines], [undefined, undefined, []]);
});

t.test("a fork is an alarm, and puts the own cluster on hold", async (t) => {
  const bench = new Bench();
  await bench.meet(FORK);
  t.same(bench.watch.fork, FORK);
  t.same(bench.proposed, [{ kind: "cluster.fork-seen", epoch: EPOCH, other: FORK }]);
  t.same(bench.ledger.state.get("hold", "it")?.body.fork, FORK);
  await bench.clock.advance(HOUR_MS - 1);
  await bench.meet(FORK);
  t.equal(bench.proposed.length, 1);
  await bench.clock.advance(1);
  await bench.meet(FORK);
  t.equal(bench.proposed.length, 2, "it is reminded, so that the hold lasts");
  t.equal(bench.log.lines.filter((line) => line.startsWith("error")).length, 1, "said once");
});

t.test("it is reported again until somebody has heard it", async (t) => {
  const bench = new Bench();
  bench.isLed = false;
  await bench.meet(FORK);
  bench.isLed = true;
  await bench.meet(FORK);
  t.same(bench.proposed, [], "not at every attempt to connect");
  await bench.clock.advance(10_000);
  await bench.meet(FORK);
  t.equal(bench.proposed.length, 1);
});

t.test("a later epoch is told of, and over once this node is in it", async (t) => {
  const bench = new Bench();
  await bench.meet(LATER);
  t.same([bench.watch.later, bench.watch.fork], [LATER, undefined]);
  t.match(
    bench.log.lines[0]!,
    /^error test a later epoch .*1\.00000000000000aa .*2\.00000000000000bb/,
  );
  bench.ledger.reform();
  t.equal(bench.watch.later, undefined);
});

t.test("a node that knows nothing yet has no epoch of its own", async (t) => {
  const log = new RecordingLogger();
  const watch = new EpochWatch({
    cluster: { propose: () => Promise.reject(new Error("not asked")) },
    state: () => new State(),
    ...{ clock: new FakeClock(), logger: log },
  });
  watch.meet(LATER);
  t.same([watch.later, log.lines], [undefined, []]);
});
