/** How a host starts dockerd: its unit, with what others than Denim have changed of it. */
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DenimError } from "../base/errors.ts";
import { readIfAny } from "./own-files.ts";
import { type DockerKey, dockerKey } from "./systemd-units.ts";

/** `systemd.unit(5)`, "Unit File Load Path": the first one that is there counts. */
export const UNIT_FOLDERS: readonly string[] = [
  ...["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"],
  ...["/usr/lib/systemd/system", "/lib/systemd/system"],
];

/** Denim's own file beside the unit. */
export const DROP_IN = "denim.conf";

const UNIT = "docker.service";
const DAEMON_JSON = "/etc/docker/daemon.json";
/** dockerd ends at once when it is told one of these by its file, and our options as well. */
const NOT_TWICE = ["bip", "mtu", "ip-masq", "bridge"];

/**
 * Which variable takes dockerd's options on the host whose `/` is `root`.
 *
 * @throws `NOT_FOUND` where nothing starts dockerd, `FILE_NOT_OURS` where options of ours would be
 * lost, or would keep it from starting
 */
export function dockerKeyOf(root: string): DockerKey {
  const path = unitPath(root);
  const others = dropIns(root);
  const texts = [path, ...others.map(({ path }) => path)]
    .map((path) => path === undefined ? "" : readIfAny(path) ?? "");
  const key = dockerKey(texts.join("\n"));
  if (key === undefined) {
    throw new DenimError("NOT_FOUND", "There is no docker.service that starts dockerd", {
      why: path === undefined ? "Docker is not installed here" : `${path} has no ExecStart=`,
      fix: "install Docker first, then: denim install --docker",
    });
  }
  const later = others.find(({ name, path }) =>
    name > DROP_IN && /^ExecStart=./m.test(readIfAny(path) ?? "")
  );
  if ("execStart" in key && later !== undefined) throw isLost(later.path, key);
  refuseTwice(join(root, DAEMON_JSON));
  return key;
}

/**
 * Refuses the name `flanneld.service` where dockerd *needs* it, as flannel's own unit has it
 * (`RequiredBy=docker.service`): a restart of Denim would restart dockerd, and every container.
 *
 * @throws `FILE_NOT_OURS`
 */
export function refuseNeed(root: string): void {
  const link = UNIT_FOLDERS.map((folder) => join(root, folder, `${UNIT}.requires/flanneld.service`))
    .find((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined);
  const text = [unitPath(root), ...dropIns(root).map(({ path }) => path)]
    .find((path) => path !== undefined && NEEDS.test(readIfAny(path) ?? ""));
  const path = link ?? text;
  if (path === undefined) return;
  throw new DenimError("FILE_NOT_OURS", `${path} makes dockerd need flanneld.service`, {
    why: "each restart of Denim would restart dockerd, and its containers",
    fix: link === undefined
      ? "make it Wants= there, then: denim install --flanneld"
      : `it is of flannel's unit: rm ${link}`,
  });
}

const NEEDS = /^(Requires|Requisite|BindsTo|PartOf)=(.*\s)?flanneld\.service(\s|$)/m;

function unitPath(root: string): string | undefined {
  return UNIT_FOLDERS.map((folder) => join(root, folder, UNIT)).find((path) => existsSync(path));
}

/** Of all folders, in the order in which systemd reads them; of one name the first counts. */
function dropIns(root: string): { readonly name: string; readonly path: string }[] {
  const found = new Map<string, string>();
  for (const folder of UNIT_FOLDERS.map((folder) => join(root, folder, `${UNIT}.d`))) {
    for (const name of existsSync(folder) ? readdirSync(folder) : []) {
      if (name.endsWith(".conf") && !found.has(name)) found.set(name, join(folder, name));
    }
  }
  found.delete(DROP_IN);
  return [...found].map(([name, path]) => ({ name, path }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isLost(path: string, { variable }: DockerKey): DenimError {
  return new DenimError("FILE_NOT_OURS", `${path} has dockerd's command line`, {
    why: `it is read after Denim's ${DROP_IN}: dockerd would start without its subnet`,
    fix: `put $${variable} at the end of its ExecStart=, then: denim install --docker`,
  });
}

/**
 * The other way round: a `daemon.json` that says what Denim's drop-in has dockerd told already.
 *
 * @throws `CONFIG_INVALID`
 */
export function refuseDropIn(root = "/"): void {
  const path = join(root, UNIT_FOLDERS[0]!, `${UNIT}.d`, DROP_IN);
  if (!existsSync(path)) return;
  throw new DenimError("CONFIG_INVALID", "dockerd has this host's subnet by its unit", {
    why: `${path} is there, and dockerd does not start when it is told the same twice`,
    fix: `nothing has to be set; or without it: rm ${path}, and systemctl daemon-reload`,
  });
}

/** A file that dockerd would not read is no concern of ours. */
function refuseTwice(path: string): void {
  let json: unknown;
  try {
    json = JSON.parse(readIfAny(path) ?? "{}");
  } catch (error) {
    if (error instanceof SyntaxError) return;
    throw error;
  }
  const key = NOT_TWICE.find((key) => Object.hasOwn(Object(json), key));
  if (key === undefined) return;
  throw new DenimError("FILE_NOT_OURS", `${path} says "${key}", and so would Denim`, {
    why: "dockerd does not start when it is told the same twice",
    fix: `take ${NOT_TWICE.map((key) => `"${key}"`).join(", ")} out of it first`,
  });
}
