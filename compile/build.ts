/**
 * `npm run compile [-- TARGET]`: the single binary. Bundles the program, has Node prepare it with
 * a code cache, and puts the result into a copy of that same Node.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { WORKER_ASSET } from "../src/host/backends/thread.ts";
import { addonPlugin } from "./addons.ts";
import { WRAPPER } from "./program.ts";
import {
  findTarget,
  HOST_TARGET,
  missingFiles,
  ROOT,
  type Target,
  TARGETS,
  TOOLS,
} from "./targets.ts";

export type Progress = (line: string) => void;

/** Beside the binary: from what it was made. */
interface Record {
  readonly inputs: string;
  readonly target: string;
  readonly sizeBytes: number;
}

const INPUTS = ["src/**/*.ts", "plugins/**/*.ts", "compile/*.ts", "package.json"];
/** Node's mark for the place that says whether a program has been put in. */
const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

/** Builds what is not there yet and returns the binary's path. Throws an error in plain words. */
export async function build(target: Target, progress: Progress): Promise<string> {
  const missing = missingFiles(target);
  if (missing.length > 0) {
    throw new Error(
      `Cannot build for ${target.name} here: ${missing[0]} is not installed; run npm ci`,
    );
  }
  const output = join(ROOT, target.output);
  const record = `${output}.json`;
  const inputs = hashInputs(target);
  if (existsSync(output) && readRecord(record)?.inputs === inputs) {
    progress(`${target.output} is up to date`);
    return output;
  }
  mkdirSync(join(ROOT, "dist"), { recursive: true });
  const work = mkdtempSync(join(ROOT, "dist/.build-"));
  try {
    const draft = await assemble(target, work, progress);
    // A rename, so that a running binary keeps its own file.
    renameSync(draft, output);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const { size } = statSync(output);
  const content: Record = { inputs, target: target.name, sizeBytes: size };
  writeFileSync(record, `${JSON.stringify(content, null, 2)}\n`);
  progress(`${target.output} is ready: ${(size / 1e6).toFixed(1)} MB`);
  return output;
}

async function assemble(target: Target, work: string, progress: Progress): Promise<string> {
  const step = stepper(progress);
  const program = join(work, "denim.cjs");
  const boot = join(work, "boot.cjs");
  const size = await bundle(program);
  await bundleBoot(boot);
  const worker = join(work, "backend-worker.cjs");
  await bundleWorker(worker);
  step(`bundled the program (${(size / 1e3).toFixed(0)} KB)`);

  const binary = join(work, "denim");
  copyFileSync(join(ROOT, target.node), binary);
  // Before the program goes in: stripping afterwards destroys it (measured).
  const own = target.name === HOST_TARGET;
  step(own && strip(binary) ? "copied and stripped Node" : "copied Node, unstripped");

  const cache = join(work, "code-cache");
  // It fits only the Node that made it.
  if (own) makeCodeCache(binary, { program, cache, target });
  else writeFileSync(cache, "");
  const config = join(work, "sea.json");
  const blob = join(work, "sea.blob");
  const assets = { program, "code-cache": cache, [WORKER_ASSET]: worker };
  writeFileSync(config, JSON.stringify(seaConfig(target, { main: boot, output: blob, assets })));
  const node = join(ROOT, TOOLS.node);
  run(own ? binary : node, ["--experimental-sea-config", config]);
  step(`prepared it${own ? " with a code cache" : ""}`);

  run(node, [join(ROOT, TOOLS.inject), binary, "NODE_SEA_BLOB", blob, "--sentinel-fuse", FUSE]);
  step("put it into the binary");
  return binary;
}

async function bundle(outfile: string): Promise<number> {
  const esbuild = await import("esbuild");
  await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: ["src/main.ts"],
    outfile,
    bundle: true,
    // Names stay: a stack in a bug report has to mean something.
    minifySyntax: true,
    minifyWhitespace: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    legalComments: "none",
    logLevel: "error",
    alias: { "denim/backend": join(ROOT, "src/backend/mod.ts") },
    plugins: [addonPlugin],
    define: { "import.meta.url": "DENIM_URL", "import.meta.dirname": "DENIM_FOLDER" },
    banner: {
      js: WRAPPER[0] + 'const DENIM_URL=require("node:url").pathToFileURL(process.execPath).href,' +
        'DENIM_FOLDER=require("node:path").dirname(process.execPath);',
    },
    footer: { js: WRAPPER[1] },
  });
  return statSync(outfile).size;
}

/** What runs in the thread of a backend from the disk; it needs none of the packages. */
async function bundleWorker(outfile: string): Promise<void> {
  const esbuild = await import("esbuild");
  await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: ["src/host/backends/worker-main.ts"],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    legalComments: "none",
    logLevel: "error",
  });
}

async function bundleBoot(outfile: string): Promise<void> {
  const esbuild = await import("esbuild");
  await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: ["compile/boot.ts"],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    logLevel: "error",
  });
}

function makeCodeCache(
  node: string,
  { program, cache, target }: { program: string; cache: string; target: Target },
): void {
  const addons = Object.entries(target.addons).map(([name, path]) => `${name}=${join(ROOT, path)}`);
  const words = [join(ROOT, "compile/code-cache.ts"), program, cache, `${cache}-node`, ...addons];
  run(node, words);
  run(node, words);
}

function seaConfig(
  target: Target,
  parts: { main: string; output: string; assets: { readonly [name: string]: string } },
) {
  const addons = Object.entries(target.addons).map(([name, path]) => [name, join(ROOT, path)]);
  return {
    main: parts.main,
    output: parts.output,
    disableExperimentalSEAWarning: true,
    useCodeCache: target.name === HOST_TARGET,
    // Foreign backends may be TypeScript, and a daemon is not steered by NODE_OPTIONS.
    execArgv: ["--disable-warning=ExperimentalWarning"],
    execArgvExtension: "none",
    assets: { ...parts.assets, ...Object.fromEntries(addons) },
  };
}

/** Takes out symbols that nobody reads, 18 MB. False where binutils are not installed. */
function strip(binary: string): boolean {
  try {
    execFileSync("strip", ["-s", binary], { stdio: "pipe" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

function run(command: string, parameters: readonly string[]): void {
  try {
    execFileSync(command, parameters, { stdio: "pipe", env: {} });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: Uint8Array };
    throw new Error(`Building failed at ${command}: ${stderr || message}`);
  }
}

/** One number for everything that the binary is made of. */
function hashInputs(target: Target): string {
  const hash = createHash("sha256").update(target.name);
  const sources = globSync(INPUTS, { cwd: ROOT }).sort();
  const packages = ["package-lock.json", "node_modules/.package-lock.json"]
    .filter((path) => existsSync(join(ROOT, path)));
  for (const path of [...sources, ...packages]) {
    hash.update(`\0${path}\0`).update(readFileSync(join(ROOT, path)));
  }
  return hash.digest("hex");
}

function readRecord(path: string): Record | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

function stepper(progress: Progress): (what: string) => void {
  let startedMs = performance.now();
  return (what) => {
    const nowMs = performance.now();
    progress(`${what} in ${((nowMs - startedMs) / 1000).toFixed(1)} s`);
    startedMs = nowMs;
  };
}

if (import.meta.main) {
  const name = process.argv[2] ?? HOST_TARGET;
  const target = findTarget(name);
  try {
    if (target === undefined) {
      throw new Error(`Cannot build for ${name}: only ${TARGETS.map((t) => t.name).join(", ")}`);
    }
    await build(target, (line) => console.log(line));
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
