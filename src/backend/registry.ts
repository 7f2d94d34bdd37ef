import { DenimError } from "../base/errors.ts";
import { type Backend, CONTRACT } from "./backend.ts";

/** A backend's name is a file name, a config value and a metric label. */
const NAME = /^[a-z][a-z0-9-]{0,31}$/;

export function isBackendName(name: string): boolean {
  return NAME.test(name);
}

/** More backends than a program was built with. */
export interface BackendSource {
  /** Of those that are there now. */
  readonly names: readonly string[];
  /** Where they are, for whoever misses one. */
  readonly place: string;
  find(name: string): Backend | undefined;
}

/** The backends of one program, by name. */
export class BackendRegistry {
  readonly #backends = new Map<string, Backend>();
  readonly #more: BackendSource | undefined;

  /** One that is added hides one of the same name from `more`. @throws `CONFIG_INVALID` */
  constructor(backends: readonly Backend[] = [], more?: BackendSource) {
    for (const backend of backends) this.add(backend);
    this.#more = more;
  }

  /** In the order in which they were added, then those from elsewhere. */
  get names(): readonly string[] {
    return [...new Set([...this.#backends.keys(), ...this.#more?.names ?? []])];
  }

  /** @throws `CONFIG_INVALID` on a name that is taken or unfit, or on another contract */
  add(backend: Backend): void {
    const { name } = backend;
    const refused = (why: string, fix: string) =>
      new DenimError("CONFIG_INVALID", `Cannot take the backend "${name}"`, { why, fix });
    if (!isBackendName(name)) {
      throw refused("its name is not lower-case words with hyphens", "rename it");
    }
    // A backend from disk was not seen by the compiler.
    const contract: unknown = backend.contract;
    if (contract !== CONTRACT) {
      throw refused(
        `it is written for contract ${contract}, this program has contract ${CONTRACT}`,
        "get the version of the backend that goes with this version of Denim",
      );
    }
    if (this.#backends.has(name)) {
      throw refused("another backend has that name", "remove one of the two");
    }
    this.#backends.set(name, backend);
  }

  /**
   * The backend of that name, in any case, as network configs write it.
   *
   * @throws `CONFIG_INVALID`
   */
  get(name: string): Backend {
    const known = name.toLowerCase();
    const backend = this.#backends.get(known) ?? this.#more?.find(known);
    if (backend !== undefined) return backend;
    const place = this.#more?.place;
    throw new DenimError("CONFIG_INVALID", `Cannot find the backend "${name}"`, {
      why: "no backend of this program has that name" +
        (place === undefined ? "" : `, and there is none in ${place}/${known}`),
      fix: `set Backend.Type to one of: ${this.names.join(", ")}`,
    });
  }
}
