/**
 * What the docs have people type is typed: each page is a story of its own, on hosts of its own,
 * and what the page shows of an output is in it. Prints `N executed, M marked`.
 */
import { spawnSync } from "node:child_process";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import t, { type Test } from "tap";
import { buildPackages } from "../compile/packages.ts";
import { findTarget, HOST_TARGET } from "../compile/targets.ts";
import { sleep, systemClock } from "../src/base/clock.ts";
import type { Finished } from "../src/cli/lab/ip.ts";
import {
  type Block,
  blocksOf,
  commandsOf,
  missingFrom,
  type TypedCommand,
} from "./support/console.ts";
import { DocHost } from "./support/doc-host.ts";
import { cannotLab, makeLab, onNode, singleBinary } from "./support/lab.ts";
import { root } from "./support/root.ts";

/** Of all commands, at most these may be marked as not run. */
const MARKED_MAX = 0.05;

/** Languages of what is typed at a prompt: then it has one. */
const SHELLS = ["sh", "bash", "shell"];

/** What somebody has fetched before, and types the name of. */
const FETCHED = /\.(deb|tar\.gz)\b/;

/**
 * Who only looks may look again, as a person would: a page that waits before it says how long that
 * takes where nothing else runs.
 */
const LOOKS =
  /^(sleep \d+; )?(denim (status|node|lease|route|doctor)( --drift)?( *#.*)?$|ip .*show|grep |cat |nft list )/;
const LOOKS_MAX = 30;
const LOOK_AGAIN_MS = 500;

/** Programs that a page may type, the package of Debian that has each, and what it needs of it. */
const PACKAGES: Readonly<Record<string, readonly [string, string]>> = {
  docker: ["docker.io", "dockerd"],
  etcdctl: ["etcd-client", "etcdctl"],
  nft: ["nftables", "nft"],
  traceroute: ["traceroute", "traceroute"],
};

const blocks = globSync("{*.md,docs/**/*.md,plugins/**/*.md,compile/*.md,examples/**/*.md}", {
  cwd: root,
}).sort().flatMap((page) => blocksOf(page, readFileSync(join(root, page), "utf8")));
const commands = blocks.filter(({ language }) => language === "console").flatMap(commandsOf);
const executed = commands.filter(({ marked }) => marked === undefined);

t.test("every block says what it is, and what is typed is in blocks of console", async (t) => {
  const where = ({ page, line }: Block) => `${page}:${line}`;
  t.same(blocks.filter(({ language }) => language === "").map(where), []);
  const hidden = blocks.filter(({ language, lines }) =>
    SHELLS.includes(language) || (language !== "console" &&
      lines.some((line) => /^(?:\w+# |\$ )?(?:denim|npm|docker) /.test(line)))
  );
  t.same(hidden.map(where), []);
});

t.test("hardly anything is marked as not run", async (t) => {
  const marked = commands.length - executed.length;
  console.log(`# ${executed.length} executed, ${marked} marked`);
  t.ok(marked <= commands.length * MARKED_MAX, `${marked} of ${commands.length}`);
});

t.test("what a page writes, and whom it ends, is its host's", { skip: cannotLab }, async (t) => {
  const host = await DocHost.start(await (await makeLab(t)).addHost("web1"), onNode, {
    usesDocker: false,
  });
  try {
    t.equal((await host.type("echo mine > here")).status, 0);
    t.equal(readFileSync(join(host.host.folder, "doc/root/here"), "utf8"), "mine\n");
    const seen = await host.type("pidof sleep sh");
    t.match(seen.out, /^(\d ?|\d\d ?)+\n$/, "nobody's processes but its own are found");
  } finally {
    await host.stop();
  }
});

for (const page of new Set(executed.map(({ page }) => page))) {
  const own = executed.filter((command) => command.page === page);
  t.test(`${page}: what it has people type`, {
    skip: cannotLab || lacking(own),
    timeout: 600_000,
  }, async (t) => await play(t, own));
}

function lacking(commands: readonly TypedCommand[]): string | false {
  const words = new Set(commands.flatMap(({ text }) => text.split(/\s+/)));
  const missing = Object.entries(PACKAGES).filter(([program, [, needed]]) =>
    words.has(program) && spawnSync("sh", ["-c", `command -v ${needed}`]).status !== 0
  );
  return missing.length > 0 && `needs Debian's ${missing.map(([, [name]]) => name).join(" and ")}`;
}

async function play(t: Test, commands: readonly TypedCommand[]): Promise<void> {
  const lab = await makeLab(t);
  const denim = await singleBinary();
  const hosts = new Map<string, DocHost>();
  try {
    for (const name of new Set(commands.map(({ host }) => host))) {
      const usesDocker = commands.some(({ host, text }) => host === name && /\bdocker /.test(text));
      hosts.set(name, await DocHost.start(await lab.addHost(name), denim, { usesDocker }));
    }
    for (const host of hosts.values()) host.introduce([...hosts.values()]);
    if (commands.some(({ text }) => FETCHED.test(text))) {
      const { deb, archive } = await buildPackages(findTarget(HOST_TARGET)!, () => {});
      for (const host of hosts.values()) for (const path of [deb, archive]) host.give(path);
    }
    for (const path of filesBeside(commands[0]!.page)) {
      for (const host of hosts.values()) host.give(path);
    }
    for (const { page, line, host, text, shown } of commands) {
      let { status, out, err } = await hosts.get(host)!.type(text);
      let missing = missingFrom(out + err, shown);
      for (let more = LOOKS_MAX; missing.length > 0 && LOOKS.test(text) && more > 1; more--) {
        await sleep(systemClock(), LOOK_AGAIN_MS);
        ({ status, out, err } = await hosts.get(host)!.type(text));
        missing = missingFrom(out + err, shown);
      }
      const isSo = status === 0 && missing.length === 0;
      const where = `${page}:${line}: ${text}`;
      t.ok(isSo, isSo ? where : `${where}\n${failure({ status, out, err, missing })}`);
      if (!isSo) break;
    }
  } finally {
    for (const host of hosts.values()) await host.stop();
  }
}

/** An example is typed in its own folder. */
function filesBeside(page: string): string[] {
  if (!page.startsWith("examples/")) return [];
  const folder = dirname(join(root, page));
  return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile())
    .map(({ name }) => join(folder, name));
}

function failure(seen: Finished & { readonly missing: readonly string[] }): string {
  const { status, out, err, missing } = seen;
  return [`ended with ${status}`, ...missing.map((line) => `it does not say: ${line}`), out, err]
    .join("\n");
}
