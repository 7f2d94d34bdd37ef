import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The project's folder. */
export const ROOT = fileURLToPath(new URL("../", import.meta.url));

export const HOST_TARGET = `${process.platform}-${process.arch}`;

/** What one binary is made of. Paths are inside the project. */
export interface Target {
  /** As in `denim version`. */
  readonly name: string;
  /** The Node that carries the program; npm brings it. */
  readonly node: string;
  /** Native add-ons, by the name under which the program asks for them. */
  readonly addons: Readonly<Record<AddonName, string>>;
  readonly output: string;
}

export type AddonName = "koffi" | "classic-level";

/** glibc only: koffi and LevelDB have add-ons for musl too, but Node's own builds have not. */
export const TARGETS: readonly Target[] = [
  target("x64", "classic-level.node"),
  target("arm64", "classic-level.armv8.node"),
];

export function findTarget(name: string): Target | undefined {
  return TARGETS.find((target) => target.name === name);
}

/** The tools that put a binary together; they run on this machine's Node. */
export const TOOLS = {
  node: `node_modules/node-${HOST_TARGET}/bin/node`,
  inject: "node_modules/postject/dist/cli.js",
  bundle: "node_modules/esbuild/lib/main.js",
};

/** What is not installed of a target and the tools; npm leaves out what is for another machine. */
export function missingFiles(target: Target): string[] {
  return [target.node, ...Object.values(target.addons), ...Object.values(TOOLS)]
    .filter((path) => !existsSync(join(ROOT, path)));
}

function target(arch: "x64" | "arm64", levelFile: string): Target {
  const name = `linux-${arch}`;
  return {
    name,
    node: `node_modules/node-linux-${arch}/bin/node`,
    addons: {
      koffi: `node_modules/@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`,
      "classic-level": `node_modules/classic-level/prebuilds/linux-${arch}/${levelFile}`,
    },
    output: name === HOST_TARGET ? "dist/denim" : `dist/denim-${name}`,
  };
}
