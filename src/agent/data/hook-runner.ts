import type { Cancel, Clock } from "../../base/clock.ts";
import { asDenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Prefix } from "../../ip/prefix.ts";
import type { Mode } from "../../plan/confidence.ts";
import { diffHooks, type HookStep } from "../../plan/diff-hooks.ts";
import {
  formatInvocation,
  type Hook,
  type Invocation,
  keyOfHook,
  OWN,
  type Programs,
  type Standing,
} from "../../plan/hook.ts";
import type { HookRecord } from "./hook-record.ts";
import { Retries } from "./retries.ts";

export interface HookRunnerOptions {
  readonly programs: Programs;
  readonly record: HookRecord;
  readonly clock: Clock;
  readonly log: Logger;
  /** Something has been run to its end. */
  readonly onChange: () => void;
}

/** What is wanted, and how sure that is. */
export interface HooksWanted {
  readonly hooks: readonly Hook[];
  readonly mode: Mode;
  readonly claimed?: readonly Prefix[];
  /** Whom a program was told of, in other words: where that changes all are run again. */
  readonly place: string;
}

/** How one subnet stands. */
export interface HookView {
  readonly key: string;
  readonly hook: Hook | undefined;
  readonly standing: Standing | undefined;
  readonly state: "ok" | "missing" | "different" | "extra" | "failed";
  readonly why?: string;
}

const RUNNING_MAX = 16;
/** What has failed before may hang again: it leaves room for what has not. */
const AGAIN_MAX = 8;
/** What cannot be removed is mostly gone: after two minutes nobody is asked about it any more. */
const REMOVE_TRIES_MAX = 7;
/** What all peers' removals together may take of a leave, and then the own subnet's. */
const LEAVE_MS = 10_000;

/**
 * Has programs look after the subnets of a plan, each on its own: one that hangs or fails waits for
 * its next try, and nobody waits for it but for the own subnet's. Stopping removes nothing.
 */
export class HookRunner {
  readonly #options: HookRunnerOptions;
  readonly #retries = new Retries();
  readonly #tries = new Map<string, number>();
  readonly #running = new Map<
    string,
    { readonly isAgain: boolean; readonly work: Promise<void> }
  >();
  readonly #fresh = new Set<string>();
  readonly #stop = new AbortController();
  #wanted: HooksWanted | undefined;
  #wake: Cancel | undefined;

  constructor(options: HookRunnerOptions) {
    this.#options = options;
  }

  /** The own subnet is looked after, or nothing has to be. */
  get isReady(): boolean {
    const own = this.#wanted?.hooks.find((hook) => hook.own);
    return own?.add === undefined || this.#fresh.has(OWN);
  }

  want(wanted: HooksWanted): void {
    if (wanted.place !== this.#wanted?.place) this.#fresh.clear();
    this.#wanted = wanted;
    this.#advance();
  }

  views(): HookView[] {
    const { record } = this.#options;
    const hooks = new Map((this.#wanted?.hooks ?? []).map((hook) => [keyOfHook(hook), hook]));
    const steps = new Map(this.#steps().map((step) => [step.key, step]));
    const keys = [...new Set([...hooks.keys(), ...record.standing.keys()])];
    return keys.map((key) => {
      const [hook, standing, step] = [hooks.get(key), record.standing.get(key), steps.get(key)];
      const why = step && (this.#errorOf(step) ?? this.#waitOf(step));
      const state = step !== undefined && this.#errorOf(step) !== undefined
        ? "failed"
        : hook === undefined
        ? "extra"
        : step === undefined
        ? "ok"
        : standing === undefined || !this.#fresh.has(key)
        ? "missing"
        : "different";
      return { ...{ key, hook, standing, state }, ...(why === undefined ? {} : { why }) };
    });
  }

  /** Ends what runs. What was added stays, and is known the next time. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#wanted = undefined;
    this.#wake?.();
    this.#stop.abort();
    await Promise.all([...this.#running.values()].map(({ work }) => work));
  }

  /**
   * Removes all that was added, each with one try, in some twenty seconds at most: who leaves does
   * not stay for a command that hangs.
   *
   * @returns what may have stayed, and why
   */
  async withdraw(): Promise<string[]> {
    await this[Symbol.asyncDispose]();
    const { record } = this.#options;
    const own = [...record.standing].filter(([key]) => key === OWN);
    const others = [...record.standing].filter(([key]) => key !== OWN);
    const failures = [...await this.#removeAll(others), ...await this.#removeAll(own)];
    await record.clear();
    return failures;
  }

  async #removeAll(all: (readonly [string, Standing])[]): Promise<string[]> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + LEAVE_MS;
    const failures: string[] = [];
    await Promise.all(Array.from({ length: RUNNING_MAX }, async () => {
      for (let one = all.pop(); one !== undefined; one = all.pop()) {
        const [key, { remove }] = one;
        const error = remove && await this.#within(endMs - clock.monotonicMs(), remove);
        if (error !== undefined) failures.push(`${key}: ${error}`);
      }
    }));
    return failures;
  }

  async #within(leftMs: number, remove: Invocation): Promise<string | undefined> {
    const timeoutMs = Math.min(remove.timeoutMs, Math.round(leftMs));
    if (timeoutMs <= 0) return `${remove.name} was not run: others took all the time there was`;
    const never = new AbortController().signal;
    return (await this.#options.programs.run({ ...remove, timeoutMs }, never)).error;
  }

  #steps(): readonly HookStep[] {
    if (this.#wanted === undefined) return [];
    const { hooks, mode, claimed = [] } = this.#wanted;
    const { standing } = this.#options.record;
    return diffHooks(hooks, standing, { mode, claimed, fresh: this.#fresh });
  }

  /** Starts what may be started, and sees to it that somebody comes back for the rest. */
  #advance(): void {
    this.#wake?.();
    this.#wake = undefined;
    if (this.#stop.signal.aborted) return;
    const nowMs = this.#options.clock.monotonicMs();
    const steps = this.#steps();
    const wanted = new Set(steps.map(idOf));
    this.#retries.keepOnly(wanted);
    for (const id of this.#tries.keys()) if (!wanted.has(id)) this.#tries.delete(id);
    const due = steps.filter((step) =>
      !this.#running.has(step.key) && this.#waitOf(step) === undefined &&
      this.#retries.waiting(idOf(step), nowMs) === undefined
    );
    const isAgain = (step: HookStep) => this.#tries.has(idOf(step));
    const running = [...this.#running.values()].filter((one) => one.isAgain).length;
    const again = due.filter(isAgain).slice(0, Math.max(0, AGAIN_MAX - running));
    const next = [...due.filter((step) => !isAgain(step)), ...again];
    for (const step of next.slice(0, RUNNING_MAX - this.#running.size)) this.#start(step);
    // What is due and has no room is started when something ends.
    const dueMs = this.#retries.nextDueMs(nowMs);
    if (dueMs === undefined) return;
    this.#wake = this.#options.clock.after(dueMs - nowMs, () => this.#advance());
  }

  #start(step: HookStep): void {
    const place = this.#wanted?.place;
    const work = this.#take(step).catch((error) => asDenimError(error).message).then((error) => {
      this.#running.delete(step.key);
      if (this.#stop.signal.aborted) return;
      this.#note(step, error, place === this.#wanted?.place);
      this.#options.onChange();
      this.#advance();
    });
    this.#running.set(step.key, { isAgain: this.#tries.has(idOf(step)), work });
  }

  /** What is to be removed one day is on disk before it is added. @returns what went wrong */
  async #take(step: HookStep): Promise<string | undefined> {
    const { record, log } = this.#options;
    const { key, standing } = step;
    if (step.kind === "remove") {
      const error = await this.#run(standing.remove);
      const isLast = (this.#tries.get(idOf(step)) ?? 0) + 1 >= REMOVE_TRIES_MAX;
      if (error !== undefined && !isLast) return error;
      if (error !== undefined) log.warn("Gives up a removal", { subnet: key, error });
      this.#fresh.delete(key);
      await record.forget(key);
      return undefined;
    }
    if (step.undo !== undefined) {
      const error = await this.#run(step.undo);
      if (error !== undefined) log.warn("Cannot remove what is replaced", { subnet: key, error });
    }
    this.#fresh.delete(key);
    await record.keep(key, standing);
    return await this.#run(standing.add);
  }

  async #run(invocation: Invocation | undefined): Promise<string | undefined> {
    if (invocation === undefined) return undefined;
    return (await this.#options.programs.run(invocation, this.#stop.signal)).error;
  }

  #note(step: HookStep, error: string | undefined, isHere: boolean): void {
    const { clock, log } = this.#options;
    const { kind, key } = step;
    const id = idOf(step);
    if (error === undefined) {
      this.#tries.delete(id);
      if (kind === "add" && isHere) this.#fresh.add(key);
      log.info(kind === "add" ? "Subnet added" : "Subnet removed", { subnet: key });
      return;
    }
    this.#tries.set(id, (this.#tries.get(id) ?? 0) + 1);
    const isNews = this.#retries.failed(id, error, clock.monotonicMs());
    if (isNews) log.warn(`Cannot ${kind} a subnet`, { subnet: key, error });
  }

  #errorOf(step: HookStep): string | undefined {
    return this.#retries.waiting(idOf(step), -Infinity);
  }

  /** Whom a step that could be taken waits for. */
  #waitOf(step: HookStep): string | undefined {
    if (step.kind === "add" && step.key !== OWN && !this.isReady) {
      return "waits for the own subnet's command";
    }
    const { standing } = this.#options.record;
    if (step.kind === "remove" && step.key === OWN && standing.size > 1) {
      return "waits for the other subnets";
    }
    return this.#running.has(step.key) ? "a command is running" : undefined;
  }
}

/** The same thing, tried again. Another command for the same subnet is another thing. */
function idOf({ kind, key, standing }: HookStep): string {
  const invocation = standing[kind];
  const { input = "" } = invocation ?? {};
  return [kind, key, invocation && formatInvocation(invocation), input].join(" ");
}
