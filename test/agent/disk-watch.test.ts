/** A disk that runs full, and what is said and kept back before. */
import t, { type Test } from "tap";
import { DiskWatch } from "../../src/agent/disk-watch.ts";
import { DenimError } from "../../src/base/errors.ts";
import { FakeClock } from "../support/clock.ts";
import { RecordingLogger } from "../support/log.ts";

const MIB = 1024 * 1024;

class Setting {
  readonly clock = new FakeClock();
  readonly log = new RecordingLogger();
  freeMib: number;
  ballastMib = 0;
  isServer = true;
  failWith: DenimError | undefined;
  readonly watch: DiskWatch;

  constructor(t: Test, freeMib: number) {
    this.freeMib = freeMib;
    this.watch = new DiskWatch({
      place: {
        path: "/state/store",
        room: () =>
          this.failWith === undefined
            ? Promise.resolve({ freeBytes: this.freeMib * MIB, totalBytes: 1_000 * MIB })
            : Promise.reject(this.failWith),
        ballastBytes: () => Promise.resolve(this.ballastMib * MIB),
        makeBallast: (bytes) => {
          this.ballastMib = bytes / MIB;
          this.freeMib -= this.ballastMib;
          return Promise.resolve();
        },
      },
      limits: { lowBytes: 100 * MIB, ballastBytes: 30 * MIB },
      isServer: () => this.isServer,
      ...{ clock: this.clock, logger: this.log },
    });
    t.teardown(() => this.watch[Symbol.asyncDispose]());
  }

  async look(): Promise<void> {
    await this.clock.advance(10_000);
  }
}

t.test("little room is an alarm that is told once and ends by itself", async (t) => {
  const setting = new Setting(t, 200);
  const { watch, log } = setting;
  await setting.look();
  t.same([watch.isLow, watch.why], [false, undefined]);
  setting.freeMib = 99;
  await setting.look();
  await setting.look();
  t.ok(watch.isLow);
  t.match(watch.why!, /^99 MiB are free where \/state\/store is, less than 100 MiB; .*Make room$/);
  t.equal(log.lines.filter((line) => /^warn .*running full/.test(line)).length, 1);
  setting.freeMib = 105;
  await setting.look();
  t.ok(watch.isLow, "a little more is not enough: it would come and go");
  setting.freeMib = 111;
  await setting.look();
  t.notOk(watch.isLow);
  t.equal(log.lines.filter((line) => /^info .*room on the disk again/.test(line)).length, 1);
});

t.test("a disk that is short from the start is known at once", async (t) => {
  const setting = new Setting(t, 5);
  await setting.clock.advance(0);
  t.ok(setting.watch.isLow);
});

t.test("a server keeps a ballast where there is room for it, and an agent none", async (t) => {
  const setting = new Setting(t, 139);
  await setting.look();
  t.equal(setting.ballastMib, 0, "the room would be short because of it");
  setting.freeMib = 141;
  setting.isServer = false;
  await setting.look();
  t.equal(setting.ballastMib, 0);
  setting.isServer = true;
  await setting.look();
  t.equal(setting.ballastMib, 30);
  t.notOk(setting.watch.isLow);
  setting.ballastMib = 0;
  await setting.look();
  t.equal(setting.ballastMib, 0, "it was used up: there is still too little");
  setting.freeMib = 500;
  await setting.look();
  t.equal(setting.ballastMib, 30);
});

t.test("a disk that cannot be asked is no alarm, and is told once", async (t) => {
  const setting = new Setting(t, 500);
  setting.failWith = new DenimError("STORE_FAILED", "Cannot look", { why: "it is gone" });
  await setting.look();
  await setting.look();
  t.notOk(setting.watch.isLow);
  t.equal(setting.log.lines.filter((line) => /cannot be seen/.test(line)).length, 1);
});
