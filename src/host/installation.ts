import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { DenimError } from "../base/errors.ts";
import { CONFLIST_MARK } from "./cni/conflist.ts";
import { dockerKeyOf, DROP_IN, refuseNeed, UNIT_FOLDERS } from "./docker-unit.ts";
import { variableIn, withVariables } from "./environment-file.ts";
import { makeFolder, writeFileAtomic } from "./files.ts";
import {
  checkOwn,
  type OwnFile,
  type OwnLink,
  putOwn,
  readIfAny,
  removeEmpty,
  removeOwnFile,
  removeOwnLink,
} from "./own-files.ts";
import {
  ENVIRONMENT_FILE,
  MARK,
  renderDocker,
  renderFlanneld,
  renderPaths,
  renderService,
  type ServiceCommand,
} from "./systemd-units.ts";

/** What is put on a host. */
export interface Wishes {
  /** How Denim is started, by whole paths. */
  readonly program: ServiceCommand;
  /** The settings of the daemon that are not the default: `DENIM_IFACE`, `eth1`. */
  readonly variables: ReadonlyMap<string, string>;
  /** Folders outside of the unit's own that the daemon writes to: made where they are missing. */
  readonly folders: readonly { readonly path: string; readonly mode: number }[];
  /** dockerd waits for the subnet, and takes it. */
  readonly docker?: { readonly subnetFile: string } | undefined;
  /** The service stands in for flanneld, and answers to its name. */
  readonly flanneld?: boolean | undefined;
}

const SYSTEM = UNIT_FOLDERS[0]!;
const UNIT = `${SYSTEM}/denim.service`;
const PATHS = `${UNIT}.d/paths.conf`;
const FLANNELD = `${UNIT}.d/flanneld.conf`;
const CONFLIST = "/etc/cni/net.d/10-denim.conflist";
const FLANNELD_UNIT = `${SYSTEM}/flanneld.service`;
const DOCKER = `${SYSTEM}/docker.service.d/${DROP_IN}`;
/** How routes of protocol 68 are called by iproute2. */
const PROTOCOL_NAME = "/etc/iproute2/rt_protos.d/denim.conf";

/**
 * What Denim puts among the files of a host so that systemd runs it. `root` is the host's `/`, or
 * a folder that stands for it. Everything that is written carries a mark, and only what carries it
 * is changed or removed; the variables are the one file that people share with it.
 */
export class Installation {
  readonly #root: string;

  constructor(root = "/") {
    this.#root = root;
  }

  /** Whether a package has brought the unit: then it is the package's. */
  get isPackaged(): boolean {
    return this.#unitPath("denim.service", UNIT_FOLDERS.slice(2)) !== undefined;
  }

  /** Refuses what {@link install} would. @throws `FILE_NOT_OURS` `NOT_FOUND` `USAGE` */
  check(wishes: Wishes): void {
    checkOwn(this.#files(wishes), MARK);
  }

  /**
   * Writes what is wished for; what was written earlier and is not wished for stays.
   *
   * @returns the files that have changed, as paths of the host
   * @throws `FILE_NOT_OURS` `NOT_FOUND` `USAGE` `PERMISSION_DENIED`
   */
  async install(wishes: Wishes): Promise<string[]> {
    const changed = await putOwn(this.#files(wishes), MARK);
    for (const { path, mode } of wishes.folders) makeFolder(this.#at(path), mode);
    if (await this.#setVariables(wishes.variables)) changed.push(this.#at(ENVIRONMENT_FILE));
    return changed.map((path) => this.#shown(path));
  }

  /** Takes away everything that carries the mark. @returns the paths @throws `PERMISSION_DENIED` */
  uninstall(): string[] {
    const links = [{ path: this.#at(FLANNELD_UNIT), target: UNIT }];
    const files = [PATHS, FLANNELD, UNIT, DOCKER, PROTOCOL_NAME];
    // A package's settings outlive it, until it is purged.
    if (!this.isPackaged) files.push(ENVIRONMENT_FILE);
    const conflists = [CONFLIST, variableIn(this.environment, "DENIM_CNI_CONFLIST") ?? CONFLIST];
    const removed = [
      ...links.filter(removeOwnLink).map(({ path }) => path),
      ...files.map((path) => this.#at(path)).filter((path) => removeOwnFile(path, MARK)),
      ...conflists.map((path) => this.#at(path))
        .filter((path) => removeOwnFile(path, CONFLIST_MARK)),
    ];
    for (const path of [PATHS, DOCKER, ENVIRONMENT_FILE, PROTOCOL_NAME]) {
      removeEmpty(this.#at(dirname(path)));
    }
    return removed.map((path) => this.#shown(path));
  }

  /** The variables' file; empty when there is none. */
  get environment(): string {
    return readIfAny(this.#at(ENVIRONMENT_FILE)) ?? "";
  }

  #files(wishes: Wishes): (OwnFile | OwnLink)[] {
    const { program, folders, docker, flanneld } = wishes;
    const file = (path: string, text: string): OwnFile => ({ path: this.#at(path), text });
    return [
      ...(this.isPackaged ? [] : [file(UNIT, renderService(program))]),
      ...(folders.length === 0 ? [] : [file(PATHS, renderPaths(folders.map(({ path }) => path)))]),
      ...(this.isPackaged ? [] : [file(PROTOCOL_NAME, `${MARK}\n68 denim\n`)]),
      ...(flanneld ? [file(FLANNELD, renderFlanneld(program)), this.#flanneldLink()] : []),
      ...(docker === undefined ? [] : [
        file(DOCKER, renderDocker({ program, ...docker, key: dockerKeyOf(this.#root) })),
      ]),
    ];
  }

  /** A file that a person wrote, without the mark, is theirs to remove, and ours to add to. */
  async #setVariables(variables: ReadonlyMap<string, string>): Promise<boolean> {
    if (variables.size === 0) return false;
    const path = this.#at(ENVIRONMENT_FILE);
    const found = this.environment;
    const before = found === "" ? `${MARK}\n# One variable per flag: denim help run.\n` : found;
    const text = withVariables(before, variables);
    if (text === found) return false;
    makeFolder(dirname(path));
    const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0o644;
    await writeFileAtomic(path, text, { mode: mode & 0o777 });
    return true;
  }

  #flanneldLink(): OwnLink {
    const other = this.#unitPath("flanneld.service", UNIT_FOLDERS.slice(1));
    if (other === undefined) {
      refuseNeed(this.#root);
      return { path: this.#at(FLANNELD_UNIT), target: UNIT };
    }
    throw new DenimError("FILE_NOT_OURS", "flanneld.service is another program's", {
      why: `${this.#shown(other)} is there`,
      fix: "remove flannel's package first: Denim stands in for it under its name",
    });
  }

  #unitPath(unit: string, folders: readonly string[]): string | undefined {
    return folders.map((folder) => this.#at(`${folder}/${unit}`)).find((path) => existsSync(path));
  }

  #at(path: string): string {
    return join(this.#root, path);
  }

  #shown(path: string): string {
    return this.#root === "/" ? path : path.slice(this.#root.replace(/\/$/, "").length);
  }
}
