import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Plugin } from "esbuild";
import { type AddonName, ROOT } from "./targets.ts";

const LOADER = join(ROOT, "compile/addon-loader.ts");

interface Rewrite {
  readonly addon: AddonName;
  /** The file of the package that looks for its add-on on disk. */
  readonly file: RegExp;
  /** Its search, and what takes its place. Each has to be found, or the package has changed. */
  readonly changes: readonly (readonly [string, string])[];
  /** How that file takes in the loader. */
  readonly header: string;
}

const REWRITES: readonly Rewrite[] = [
  {
    addon: "koffi",
    file: /koffi\/src\/koffi\/index\.js$/,
    changes: [
      ['import { loadStatic } from "./src/static.js";', ""],
      ["loadStatic(pkg) ?? loadDynamic(import.meta.dirname, pkg, triplets)", 'loadAddon("koffi")'],
    ],
    header: `import { loadAddon } from ${JSON.stringify(LOADER)};\n`,
  },
  {
    addon: "classic-level",
    file: /classic-level\/binding\.js$/,
    changes: [["require('node-gyp-build')(__dirname)", 'loadAddon("classic-level")']],
    header: `const { loadAddon } = require(${JSON.stringify(LOADER)});\n`,
  },
];

/**
 * Packages with native code search their own folder for it, and a single binary has none: their
 * search is replaced by the loader of assets. An add-on that nobody replaced fails the build.
 */
export const addonPlugin: Plugin = {
  name: "denim-addons",
  setup(build) {
    for (const { addon, file, changes, header } of REWRITES) {
      build.onLoad({ filter: file }, async ({ path }) => {
        let text = await readFile(path, "utf8");
        for (const [from, to] of changes) {
          if (!text.includes(from)) {
            return { errors: [{ text: `${addon} has changed: "${from}" is not there any more` }] };
          }
          text = text.replace(from, () => to);
        }
        return { contents: header + text, loader: "js" };
      });
    }
    build.onResolve({ filter: /^(node-gyp-build|bindings)$|\.node$/ }, ({ importer }) => ({
      errors: [{ text: `${importer} loads native code that compile/addons.ts does not know` }],
    }));
  },
};
