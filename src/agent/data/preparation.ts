import type { Backend, Host } from "../../backend/backend.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import { formatAddress } from "../../ip/address.ts";
import { formatPrefix } from "../../ip/prefix.ts";
import { formatInvocation, type Invocation, type Programs } from "../../plan/hook.ts";
import { Retries } from "./retries.ts";

export interface PreparationOptions {
  readonly programs: Programs;
  readonly clock: Clock;
}

export interface PreparationCall {
  /** Ends the program, and the wait for it. */
  readonly signal?: AbortSignal;
  /** Who has other things to do waits no longer than that, and is called when there is news. */
  readonly patience?: { readonly ms: number; readonly onDone: () => void };
}

/** What was printed, or why nothing was. */
type Result = { readonly out: string } | { readonly failure: DenimError };

/**
 * What a backend has run before it publishes: once for each place and config, however often it is
 * asked. What has failed is tried again, at growing intervals.
 */
export class Preparation {
  readonly #options: PreparationOptions;
  readonly #retries = new Retries();
  #now: { readonly key: string; readonly result: Promise<Result> } | undefined;
  #failed: { readonly key: string; readonly failure: DenimError } | undefined;

  constructor(options: PreparationOptions) {
    this.#options = options;
  }

  /** @throws `PERMISSION_DENIED` `COMMAND_FAILED` `TIMEOUT` */
  async printed(
    backend: Backend,
    host: Host,
    config: unknown,
    { signal, patience }: PreparationCall = {},
  ): Promise<string | undefined> {
    const { programs, clock } = this.#options;
    const { argvs, first } = await backend.programs?.(config) ?? { argvs: [] };
    await programs.check(argvs);
    if (first === undefined) return undefined;
    const key = [backend.name, placeOf(host), formatInvocation(first)].join(" ");
    if (this.#now?.key !== key) {
      const isEarly = this.#retries.waiting(key, clock.monotonicMs()) !== undefined;
      if (isEarly && this.#failed?.key === key) throw this.#failed.failure;
      this.#now = { key, result: this.#run(key, first, { former: this.#now?.result, signal }) };
    }
    const { result } = this.#now;
    const got = patience === undefined ? await result : await this.#within(result, patience);
    if (got === undefined) throw new DenimError("TIMEOUT", `${first.name} has not ended yet`);
    if ("failure" in got) throw got.failure;
    return got.out;
  }

  /** One after the other: they may be about the same link. */
  async #run(
    key: string,
    first: Invocation,
    { former, signal = new AbortController().signal }: {
      readonly former: Promise<Result> | undefined;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<Result> {
    const { programs, clock } = this.#options;
    await former;
    const { out, error } = await programs.run(first, signal);
    if (error === undefined) {
      this.#retries.keepOnly(new Set());
      return { out };
    }
    if (this.#now?.key === key) this.#now = undefined;
    this.#retries.failed(key, error, clock.monotonicMs());
    const failure = new DenimError("COMMAND_FAILED", "This host could not be prepared", {
      why: error,
      fix: `try it by hand: ${formatInvocation(first)}`,
    });
    this.#failed = { key, failure };
    return { failure };
  }

  async #within(
    result: Promise<Result>,
    { ms, onDone }: NonNullable<PreparationCall["patience"]>,
  ): Promise<Result | undefined> {
    const done = new AbortController();
    const late = sleep(this.#options.clock, ms, done.signal).then(() => undefined);
    const got = await Promise.race([result, late]);
    done.abort();
    if (got === undefined) void result.then(onDone);
    return got;
  }
}

/** For who has no programs: whatever wants one is refused. */
export const noPrograms: Programs = {
  check: (argvs) => argvs.length === 0 ? Promise.resolve() : Promise.reject(refusal()),
  run: () => Promise.resolve({ out: "", error: refusal().message }),
};

/** The same before publishing. */
export const unprepared: Pick<Preparation, "printed"> = {
  async printed(backend, _host, config) {
    const { argvs } = await backend.programs?.(config) ?? { argvs: [] };
    await noPrograms.check(argvs);
    return undefined;
  },
};

function refusal(): DenimError {
  return new DenimError("PERMISSION_DENIED", "No programs are run here");
}

/** What a program may depend on. */
function placeOf({ link, addresses, onLink }: Host): string {
  const texts = addresses.map(({ address, publicIp }) =>
    `${formatAddress(address)}=${formatAddress(publicIp)}`
  );
  return [link.name, link.index, ...texts, ...onLink.map(formatPrefix)].join(" ");
}
