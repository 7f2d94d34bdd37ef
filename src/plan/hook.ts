import { formatPrefix, type Prefix } from "../ip/prefix.ts";

/** A program of the host, with its words: there is no shell. */
export interface Invocation {
  /** What messages call it: `SubnetAddCommand`. */
  readonly name: string;
  /** The program, as a path or as a name on the PATH, and its words. */
  readonly argv: readonly string[];
  /** Its environment, besides what every program of Denim's gets. */
  readonly env: Readonly<Record<string, string>>;
  /** What it reads on its standard input. */
  readonly input: string;
  /** It is ended after that. */
  readonly timeoutMs: number;
}

/**
 * A subnet that programs of the host look after: `add` makes it so, `remove` undoes that. Nobody can
 * see what they have made, so `add` has to do no harm where it was run before: it is run again when
 * the daemon starts, and when the host's place in the network is another.
 */
export interface Hook {
  readonly kind: "hook";
  /** A plan has one for each. */
  readonly destination: Prefix;
  readonly add?: Invocation;
  readonly remove?: Invocation;
  /** It is about this host's own subnet: the others come after it and go before it. One in a plan. */
  readonly own?: boolean;
}

/** What was added, or begun to be, and has not been removed since. */
export interface Standing {
  readonly own: boolean;
  readonly add: Invocation | undefined;
  /** As it was when that was added. */
  readonly remove: Invocation | undefined;
}

/** What a program did. `error` is absent where it ended well. */
export interface Ended {
  readonly error?: string;
  /** Its standard output. */
  readonly out: string;
}

/**
 * The programs of this host, as the data plane sees them. Drivers: `host/programs.ts`, and one in
 * memory for tests.
 */
export interface Programs {
  /**
   * Whether this host runs them: what a network config says is the cluster's word, not the host's.
   *
   * @throws `PERMISSION_DENIED` with what would have to be allowed
   */
  check(argvs: readonly (readonly string[])[]): Promise<void>;
  /** Runs one to its end, or not at all where the host does not allow it. Never rejects. */
  run(invocation: Invocation, signal: AbortSignal): Promise<Ended>;
}

/** What a hook is known by. The own subnet may change under its hook. */
export function keyOfHook({ destination, own }: Pick<Hook, "destination" | "own">): string {
  return own === true ? OWN : formatPrefix(destination);
}

export const OWN = "own";

/** As a person would type it: `SUBNET=10.5.2.0/24 /usr/sbin/ip route replace …`. */
export function formatInvocation({ argv, env }: Invocation): string {
  return formatWords([...Object.entries(env).map(([name, value]) => `${name}=${value}`), ...argv]);
}

/** Each in quotes where a shell would take it for something else. */
export function formatWords(words: readonly string[]): string {
  return words.map(quoted).join(" ");
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
