import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";
import process from "node:process";
import { DenimError } from "../base/errors.ts";

/** What `import … from "denim/backend"` means to a module from anywhere on the disk. */
const FACE_NAME = "denim/backend";
const FACE_URL = "denim:backend";
const FACE_KEY = Symbol.for("denim.backend");

type Module = Readonly<Record<string, unknown>>;
type Import = (url: string) => Promise<Module>;

export interface ForeignOptions {
  /** A folder: what is loaded with the module has to be in it. */
  readonly within?: string;
}

let importer: Promise<Import> | undefined;
/** The folder that everything has to be in which is loaded from now on. */
let fence: string | undefined;

/**
 * Loads a module that is not part of this program: `.ts` (erasable syntax), `.mts`, `.js` or
 * `.mjs`, with its own imports, from source and inside the single binary alike. Rejects with
 * `CONFIG_INVALID` when it cannot be loaded. The fence stays up: it is for a thread of its own.
 */
export async function importForeign(path: string, options: ForeignOptions = {}): Promise<Module> {
  importer ??= openImporter();
  const load = await importer;
  if (options.within !== undefined) fence = `${pathToFileURL(options.within).href}/`;
  try {
    return await load(pathToFileURL(path).href);
  } catch (cause) {
    throw new DenimError("CONFIG_INVALID", `Cannot load ${path}`, {
      why: cause instanceof Error ? cause.message : String(cause),
      fix: "it has to run with: node FILE (TypeScript without enums and the like is fine)",
      cause,
    });
  }
}

async function openImporter(): Promise<Import> {
  const face = await import("../backend/mod.ts");
  (globalThis as { [FACE_KEY]?: Module })[FACE_KEY] = face;
  const names = Object.keys(face).join(", ");
  const source = `export const { ${names} } = globalThis[Symbol.for("${FACE_KEY.description}")];`;
  registerHooks({
    resolve(specifier, context, next) {
      if (specifier !== FACE_NAME) return next(specifier, context);
      return { url: FACE_URL, format: "module", shortCircuit: true };
    },
    load(url, context, next) {
      if (url === FACE_URL) return { format: "module", source, shortCircuit: true };
      if (fence !== undefined && url.startsWith("file:") && !url.startsWith(fence)) {
        throw new Error(`${url} is not in the backend's own folder`);
      }
      // Without this, Node takes a `.ts` outside of an ES module package for CommonJS.
      const typed = url.startsWith("file:") && /\.m?ts$/.test(url);
      return next(url, typed ? { ...context, format: "module-typescript" } : context);
    },
  });
  return inSingleBinary() ? await scriptImport() : (url) => import(url);
}

/**
 * Inside a single executable `import()` knows only what is built in. A script that was compiled
 * with the main context's loader still has the whole of it.
 */
async function scriptImport(): Promise<Import> {
  silenceLoader();
  const { Script, constants } = await import("node:vm");
  return new Script("(url) => import(url)", {
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  }).runInThisContext();
}

/** Node says once that this loader may change: nothing that somebody who reads a log could act on. */
function silenceLoader(): void {
  const emit = process.emitWarning;
  process.emitWarning = (...words: readonly unknown[]) => {
    if (String(words[0]).startsWith("vm.USE_MAIN_CONTEXT_DEFAULT_LOADER ")) return;
    Reflect.apply(emit, process, words);
  };
}

export function inSingleBinary(): boolean {
  return process.getBuiltinModule?.("node:sea")?.isSea() === true;
}
