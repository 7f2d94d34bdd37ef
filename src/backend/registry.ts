import { DenimError } from "../base/errors.ts";
import { type Backend, CONTRACT } from "./backend.ts";

/** A backend's name is a file name, a config value and a metric label. */
const NAME = /^[a-z][a-z0-9-]{0,31}$/;

/** The backends of one program, by name. */
export class BackendRegistry {
  readonly #backends = new Map<string, Backend>();

  /** @throws `CONFIG_INVALID` */
  constructor(backends: readonly Backend[] = []) {
    for (const backend of backends) this.add(backend);
  }

  /** In the order in which they were added. */
  get names(): readonly string[] {
    return [...this.#backends.keys()];
  }

  /** @throws `CONFIG_INVALID` on a name that is taken or unfit, or on another contract */
  add(backend: Backend): void {
    const { name } = backend;
    const refused = (why: string, fix: string) =>
      new DenimError("CONFIG_INVALID", `Cannot take the backend "${name}"`, { why, fix });
    if (!NAME.test(name)) {
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
    const backend = this.#backends.get(name.toLowerCase());
    if (backend !== undefined) return backend;
    throw new DenimError("CONFIG_INVALID", `Cannot find the backend "${name}"`, {
      why: "no backend of this program has that name",
      fix: `set Backend.Type to one of: ${this.names.join(", ")}`,
    });
  }
}
