import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { systemClock } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import { ExitStatus } from "../command.ts";
import type { DemoFlags } from "../demo.ts";
import { Lab } from "../lab/lab.ts";
import { isClean } from "../lab/leftovers.ts";
import { ownProgram } from "../lab/self.ts";
import { type Io, renderJson } from "../output.ts";
import { findPlace, type Place, playInUserNamespace } from "./enter.ts";
import { type Forward, forward } from "./forward.ts";
import { type HostReport, play } from "./play.ts";
import {
  allReached,
  lookAround,
  namesOf,
  renderHosts,
  renderLook,
  renderRemoved,
} from "./report.ts";
import { StepFailure, Steps } from "./steps.ts";

const LOG_LINES = 15;

/** Everything that one run needs. What is told while it runs goes to `say`. */
interface Stage {
  readonly flags: DemoFlags;
  readonly io: Io;
  readonly say: (text: string) => void;
  readonly place: Place;
  readonly lab: Lab;
  readonly api: Forward;
  readonly steps: Steps;
  readonly signal: AbortSignal;
}

/** `denim demo`. Rejects unless everything worked and everything is gone again. */
export async function runDemo(flags: DemoFlags, io: Io): Promise<void> {
  const parameters = wordsOf(flags);
  const place = flags.inside ? "user-namespace" : await findPlace(parameters);
  if (place === "user-namespace" && !flags.inside) {
    throw new ExitStatus(await playInUserNamespace(parameters));
  }
  const clock = systemClock();
  const say = flags.json ? io.err : io.out;
  const prefix = `denim-demo-${process.pid}-`;
  const folder = mkdtempSync(join(shortTmp(), prefix));
  const program = ownProgram();
  using interrupt = listenForSignals(flags.inside === true);
  const { signal } = interrupt;
  const lab = await Lab.create({ prefix, folder, clock, prober: program });
  try {
    await using api = await forward(flags.apiPort, join(folder, "a", "read.sock"));
    const steps = new Steps({ clock, say, widthMax: flags.json ? undefined : io.widthMax });
    await perform({ flags, io, say, place, lab, api, steps, signal });
  } finally {
    const removed = await lab.dispose();
    say(renderRemoved(removed));
  }
  const left = lab.leftovers();
  if (!isClean(left)) {
    throw new DenimError("CHECKS_FAILED", "The demo could not remove everything", {
      why: `still there: ${namesOf(left)}`,
    });
  }
}

async function perform(stage: Stage): Promise<void> {
  const { flags, io, say, lab, api, steps, signal } = stage;
  const clock = systemClock();
  const program = ownProgram();
  say("Denim on this machine\n");
  const hosts = await play({
    ...{ lab, steps, clock, program, hosts: flags.hosts, port: api.port, signal },
  }).catch((failure) => fail(stage, failure));
  if (flags.json) io.out(renderJson(outcome(stage, hosts)));
  else say(`\n${renderHosts(hosts, io.widthMax)}\n`);
  if (!allReached(hosts)) {
    throw new DenimError("CHECKS_FAILED", "Not every container reached every other", {
      why: "the table says which",
      fix: "run it again, and send the table with a bug report when it stays so",
    });
  }
  if (flags.once) return;
  say("Look around, in another terminal:\n\n");
  say(renderLook(lookAround({ ...stage, hosts: lab.hosts, program, port: api.port })));
  say("\nCtrl-C ends it and removes everything.\n");
  if (!signal.aborted) await once(signal, "abort");
}

/** Says what the daemon concerned has logged, while the log is still there. */
function fail({ lab, say }: Stage, failure: unknown): never {
  if (!(failure instanceof StepFailure)) throw failure;
  const { reason, host } = failure;
  const daemon = lab.hosts.find(({ name }) => name === host)?.daemon;
  if (reason.code !== "CANCELLED" && daemon !== undefined) {
    say(`\nThe last lines that the daemon of host ${host} logged:\n`);
    say(daemon.logTail(LOG_LINES).map((line) => `  ${line}\n`).join(""));
  }
  throw reason;
}

function outcome({ lab, api, steps, place }: Stage, hosts: readonly HostReport[]) {
  const look = lookAround({ hosts: lab.hosts, program: ownProgram(), port: api.port, place });
  return {
    ok: allReached(hosts),
    steps: steps.results,
    hosts,
    api: `http://127.0.0.1:${api.port}`,
    look: Object.fromEntries(look),
  };
}

/** Aborts on whatever asks the program to end. */
function listenForSignals(untilInputEnds: boolean): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const name of names) process.on(name, abort);
  if (untilInputEnds) process.stdin.once("end", abort).once("close", abort).resume();
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of names) process.off(name, abort);
      if (untilInputEnds) process.stdin.destroy();
    },
  };
}

/** The path of a unix socket has at most 107 bytes; and below /run nothing is left to be seen. */
function shortTmp(): string {
  const folder = tmpdir();
  return folder.length > 40 || folder.startsWith("/run/") ? "/tmp" : folder;
}

function wordsOf({ once, hosts, apiPort, json }: DemoFlags): string[] {
  return [
    ...(once ? ["--once"] : []),
    ...["--hosts", String(hosts)],
    ...(apiPort === undefined ? [] : ["--api-port", String(apiPort)]),
    ...(json ? ["--json"] : []),
  ];
}
