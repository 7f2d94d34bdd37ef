import { once } from "node:events";
import process from "node:process";
import { type Clock, every, systemClock } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import { ExitStatus } from "../command.ts";
import type { ApiPlace } from "../lab/http.ts";
import { Lab } from "../lab/lab.ts";
import { isClean } from "../lab/leftovers.ts";
import { ownProgram } from "../lab/self.ts";
import { type Io, renderJson } from "../output.ts";
import { findPlace, playInUserNamespace } from "./enter.ts";
import { type DemoFlags, HOSTS_DEFAULT } from "./flags.ts";
import { forward } from "./forward.ts";
import { makeNames, namesIn, outsideSocketIn, readSocketIn } from "./names.ts";
import { type HostReport, play } from "./play.ts";
import {
  allReached,
  lookAround,
  namesOf,
  renderHosts,
  renderLook,
  renderRemoved,
} from "./report.ts";
import { removeDeadRuns } from "./sweep.ts";
import { StepFailure, Steps } from "./steps.ts";

const LOG_LINES = 15;

/** Everything that one run needs. What is told while it runs goes to `say`. */
interface Stage {
  readonly flags: DemoFlags;
  readonly io: Io;
  readonly say: (text: string) => void;
  readonly lab: Lab;
  readonly api: Api;
  readonly steps: Steps;
  readonly signal: AbortSignal;
}

/** `denim demo`. Rejects unless everything worked and everything is gone again. */
export async function runDemo(flags: DemoFlags, io: Io): Promise<void> {
  if (flags.inside === undefined && await findPlace(wordsOf(flags)) === "user-namespace") {
    throw new ExitStatus(await playInUserNamespace(wordsOf(flags), flags.apiPort));
  }
  const clock = systemClock();
  const say = flags.json ? io.err : io.out;
  const names = flags.inside === undefined ? makeNames() : namesIn(flags.inside);
  for (const removed of await removeDeadRuns(names, clock)) {
    say(`An earlier run was killed. ${renderRemoved(removed)}`);
  }
  const program = ownProgram();
  using interrupt = listenForEnd(clock, flags.inside !== undefined);
  const { signal } = interrupt;
  const lab = await Lab.create({ ...names, clock, prober: program });
  try {
    await using api = await openApi(flags, names.folder);
    const steps = new Steps({ clock, say, widthMax: flags.json ? undefined : io.widthMax });
    await perform({ flags, io, say, lab, api, steps, signal });
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

/** The port outside of the namespaces, and how this process gets there. */
interface Api extends AsyncDisposable {
  readonly port: number;
  readonly outside: ApiPlace;
}

/** In a user namespace the port is held by the process that started this one. */
async function openApi({ inside, apiPort }: DemoFlags, folder: string): Promise<Api> {
  if (inside !== undefined) {
    const outside = { socketPath: outsideSocketIn(folder) };
    return { port: apiPort!, outside, async [Symbol.asyncDispose]() {} };
  }
  const opened = await forward({ port: apiPort }, { path: readSocketIn(folder) });
  const { port } = opened;
  return { port, outside: { port }, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}

async function perform(stage: Stage): Promise<void> {
  const { flags, io, say, lab, api, steps, signal } = stage;
  const clock = systemClock();
  const program = ownProgram();
  say("Denim on this machine\n");
  const hosts = await play({
    ...{ lab, steps, clock, program, hosts: flags.hosts, api, signal },
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
  say(renderLook(look(stage)));
  say("\nCtrl-C ends it and removes everything.\n");
  if (!signal.aborted) await once(signal, "abort");
  say("\n");
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

function outcome(stage: Stage, hosts: readonly HostReport[]) {
  return {
    ok: allReached(hosts),
    steps: stage.steps.results,
    hosts,
    api: `http://127.0.0.1:${stage.api.port}`,
    look: Object.fromEntries(look(stage)),
  };
}

function look({ lab, api, flags }: Stage) {
  const place = flags.inside === undefined ? "here" : "user-namespace";
  return lookAround({ hosts: lab.hosts, program: ownProgram(), port: api.port, place });
}

const PARENT_PERIOD_MS = 500;

/** Aborts on whatever asks the program to end; in a user namespace also with its parent's end. */
function listenForEnd(
  clock: Clock,
  watchesParent: boolean,
): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const name of names) process.on(name, abort);
  const parent = process.ppid;
  const cancel = watchesParent
    ? every(clock, PARENT_PERIOD_MS, () => process.ppid === parent || abort())
    : () => {};
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of names) process.off(name, abort);
      cancel();
    },
  };
}

/** The command line again, less what says where it runs. */
function wordsOf({ once, hosts, json }: DemoFlags): string[] {
  return [
    ...(once ? ["--once"] : []),
    ...(hosts === HOSTS_DEFAULT ? [] : ["--hosts", String(hosts)]),
    ...(json ? ["--json"] : []),
  ];
}
