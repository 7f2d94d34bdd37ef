/**
 * `npm run packages [-- TARGET]`: what people install. A Debian package, and an archive with an
 * installer for everybody else, out of the single binary; then the checksums of both.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import manifest from "../package.json" with { type: "json" };
import { backends } from "../plugins/mod.ts";
import { bashCompletion } from "../src/cli/completion.ts";
import { createProgram } from "../src/cli/program.ts";
import { renderService } from "../src/host/systemd-units.ts";
import { build, type Progress } from "./build.ts";
import { findTarget, HOST_TARGET, ROOT, type Target, TARGETS } from "./targets.ts";

/** What Debian and the kernel (`uname -m`) call a machine. */
const MACHINES: Readonly<Record<string, { readonly debian: string; readonly kernel: string }>> = {
  "linux-x64": { debian: "amd64", kernel: "x86_64" },
  "linux-arm64": { debian: "arm64", kernel: "aarch64" },
};

/**
 * The versions are those of the symbols that the binary wants. Without libnftables and iptables
 * Denim runs, and says that it masquerades nobody.
 */
const DEPENDS = "libc6 (>= 2.28), libstdc++6 (>= 5), libgcc-s1 | libgcc1, passwd";
const RECOMMENDS = "libnftables1, iptables, iproute2";
const SUGGESTS = "docker.io, containernetworking-plugins";

const SCRIPTS = ["preinst", "postinst", "prerm", "postrm"];
const PACKAGED = "# Part of the package denim.";

export interface Packages {
  readonly deb: string;
  readonly archive: string;
  readonly sums: string;
}

/** Builds all of it below `dist`, and returns the paths. Throws an error in plain words. */
export async function buildPackages(target: Target, progress: Progress): Promise<Packages> {
  const binary = await build(target, progress);
  const { deb, archive, sums } = outputsOf(target);
  const record = join(ROOT, `dist/packages-${target.name}.json`);
  const inputs = hashInputs(binary);
  if ([deb, archive, sums].every((path) => existsSync(path)) && readIfAny(record) === inputs) {
    progress("the packages are up to date");
    return { deb, archive, sums };
  }
  const work = mkdtempSync(join(ROOT, "dist/.packages-"));
  try {
    const completion = join(work, "denim.bash");
    writeFileSync(completion, completionScript());
    const parts = { target, binary, completion, work };
    debianPackage(parts, deb);
    progress(`${basename(deb)} is ready`);
    installArchive(parts, archive);
    progress(`${basename(archive)} is ready`);
    writeFileSync(sums, sumsOf([deb, archive]));
    writeFileSync(record, inputs);
    return { deb, archive, sums };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function outputsOf(target: Target): Packages {
  const at = (name: string) => join(ROOT, "dist", name);
  return {
    deb: at(`denim_${manifest.version}_${machineOf(target).debian}.deb`),
    archive: at(`denim-${manifest.version}-${target.name}.tar.gz`),
    sums: at("SHA256SUMS"),
  };
}

/** One number for everything that is packed. */
function hashInputs(binary: string): string {
  const hash = createHash("sha256").update(readFileSync(binary));
  const more = globSync(["compile/package/*", "compile/packages.ts", "docs/**/*.md", "*.md"], {
    cwd: ROOT,
  }).sort();
  for (const path of more) hash.update(`\0${path}\0`).update(readFileSync(join(ROOT, path)));
  return hash.digest("hex");
}

interface Parts {
  readonly target: Target;
  readonly binary: string;
  readonly completion: string;
  readonly work: string;
}

function debianPackage({ target, binary, completion, work }: Parts, output: string): void {
  const { debian } = machineOf(target);
  const root = join(work, "deb");
  put(binary, join(root, "usr/bin/denim"), 0o755);
  put(completion, join(root, "usr/share/bash-completion/completions/denim"));
  write(join(root, "usr/lib/systemd/system/denim.service"), unit());
  write(join(root, "etc/iproute2/rt_protos.d/denim.conf"), `${PACKAGED}\n68 denim\n`);
  const docs = join(root, "usr/share/doc/denim");
  for (const path of documents()) put(join(ROOT, path), join(docs, path));
  put(join(ROOT, "LICENSE"), join(docs, "copyright"));
  const control = join(root, "DEBIAN");
  for (const name of SCRIPTS) {
    put(join(ROOT, "compile/package", name), join(control, name), 0o755);
  }
  write(join(control, "conffiles"), "/etc/iproute2/rt_protos.d/denim.conf\n");
  write(join(control, "control"), controlFile(debian, installedKiB(root)));
  // gzip: dpkg reads it everywhere, and it takes a tenth of the time of xz.
  run("dpkg-deb", ["--root-owner-group", "-Zgzip", "-z6", "--build", root, output]);
}

function controlFile(architecture: string, installedKiB: number): string {
  return [
    "Package: denim",
    `Version: ${manifest.version}`,
    `Architecture: ${architecture}`,
    "Maintainer: Denim maintainers <denim@localhost>",
    `Installed-Size: ${installedKiB}`,
    `Depends: ${DEPENDS}`,
    `Recommends: ${RECOMMENDS}`,
    `Suggests: ${SUGGESTS}`,
    "Section: net",
    "Priority: optional",
    `Description: ${manifest.description.replace(/^A /, "")}`,
    " Every host gets a subnet of its own for its containers, and routes to those of",
    " all others. What flannel does, without a store beside it: the servers carry a",
    " replicated one in the agent.",
    "",
  ].join("\n");
}

function installArchive({ target, binary, completion, work }: Parts, output: string): void {
  const name = basename(output, ".tar.gz");
  const folder = join(work, name);
  put(binary, join(folder, "denim"), 0o755);
  put(completion, join(folder, "denim.bash"));
  for (const path of ["LICENSE", "README.md", "CHANGELOG.md"]) {
    put(join(ROOT, path), join(folder, path));
  }
  cpSync(join(ROOT, "docs"), join(folder, "docs"), { recursive: true });
  const installer = readFileSync(join(ROOT, "compile/package/install.sh"), "utf8")
    .replaceAll("@MACHINE@", machineOf(target).kernel);
  const names = ["denim", "denim.bash", "LICENSE", "README.md", "CHANGELOG.md"];
  write(join(folder, "install.sh"), installer, 0o755);
  write(join(folder, "SHA256SUMS"), sumsOf(names.map((path) => join(folder, path))));
  run("tar", [
    ...["--create", "--gzip", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"],
    ...[`--file=${output}`, `--directory=${work}`, name],
  ]);
}

function unit(): string {
  return renderService(["/usr/bin/denim"], PACKAGED);
}

function completionScript(): string {
  const io = { out() {}, err() {}, widthMax: undefined, env: {} };
  return bashCompletion(createProgram({ io, version: manifest.version, backends }));
}

/** Pages that people read, not how Denim is built. */
function documents(): string[] {
  return ["README.md", "CHANGELOG.md", ...globSync("docs/{guide,reference}/*.md", { cwd: ROOT })];
}

/** In the form of `sha256sum`. */
function sumsOf(paths: readonly string[]): string {
  return paths.map((path) => {
    const sum = createHash("sha256").update(readFileSync(path)).digest("hex");
    return `${sum}  ${basename(path)}\n`;
  }).join("");
}

function installedKiB(root: string): number {
  const files = globSync("**/*", { cwd: root }).map((path) => statSync(join(root, path)));
  return Math.ceil(files.reduce((sum, { size }) => sum + size, 0) / 1024);
}

function machineOf(target: Target) {
  const machine = MACHINES[target.name];
  if (machine === undefined) throw new Error(`Cannot package for ${target.name}`);
  return machine;
}

function readIfAny(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

function put(from: string, to: string, mode = 0o644): void {
  mkdirSync(dirname(to), { recursive: true, mode: 0o755 });
  copyFileSync(from, to);
  chmodSync(to, mode);
}

function write(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, text, { mode });
}

function run(command: string, parameters: readonly string[]): void {
  try {
    execFileSync(command, parameters, { stdio: "pipe" });
  } catch (error) {
    const { code, stderr, message } = error as NodeJS.ErrnoException & { stderr?: Uint8Array };
    if (code === "ENOENT") throw new Error(`Cannot package here: ${command} is not installed`);
    throw new Error(`Packaging failed at ${command}: ${stderr || message}`);
  }
}

if (import.meta.main) {
  const name = process.argv[2] ?? HOST_TARGET;
  const target = findTarget(name);
  try {
    if (target === undefined || !existsSync(join(ROOT, target.node))) {
      throw new Error(`Cannot package for ${name}: only ${TARGETS.map((t) => t.name).join(", ")}`);
    }
    await buildPackages(target, (line) => console.log(line));
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
