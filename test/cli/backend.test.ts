/** `denim backend`: what somebody types who writes one. */
import { chmodSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { backends } from "../../plugins/mod.ts";
import { PROMISE_NAMES } from "../../src/backend/contract/suite.ts";
import type { Io } from "../../src/cli/output.ts";
import { run } from "../../src/cli/program.ts";
import { temporaryFolder } from "../support/folders.ts";
import { backendText, putBackend } from "../support/foreign.ts";
import { root } from "../support/root.ts";

async function denim(...words: readonly string[]) {
  let [out, err] = ["", ""];
  const io: Io = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    ...{ widthMax: undefined, env: {} },
  };
  const status = await run(["backend", ...words], { io, version: "1.2.3", backends });
  return { status, out, err };
}

t.test("test: a good backend keeps all of the contract, and its own tests run", async (t) => {
  const folder = putBackend(temporaryFolder(t), {
    "mod.ts": backendText({
      plan: `plan: ({ host, peers }) =>
        peers.flatMap(({ subnets }) =>
          subnets.map((destination) => ({ kind: "route", destination, device: host.link.name }))
        )`,
    }),
    "mod.test.ts": `import assert from "node:assert/strict";
      import { backend } from "./mod.ts";
      export const tests = {
        "its name is right": () => assert.equal(backend.name, "mine"),
        "it waits": async () => await Promise.resolve(),
      };`,
  });
  const { status, out, err } = await denim("test", folder);
  t.same([status, err], [0, ""]);
  t.same(out.trimEnd().split("\n"), [
    ...PROMISE_NAMES.map((name) => `ok      ${name}`),
    "ok      mod.test.ts: its name is right",
    "ok      mod.test.ts: it waits",
    `${PROMISE_NAMES.length + 2} passed, 0 failed`,
  ]);
});

t.test("test: what is not kept has a reason, a place and a seed that shows it again", async (t) => {
  const folder = putBackend(temporaryFolder(t), {
    "mod.ts": backendText({
      plan: "plan: ({ peers }) => {\n    return peers.map((peer) => peer.data.word);\n  }",
    }),
    "mod.test.ts": `export const tests = { "two is three"() {
      throw new Error("two is two");
    } };`,
  });
  const { status, out, err } = await denim("test", folder);
  t.equal(status, 9);
  const found = /FAILED {2}(?:a plan has.*)\n {8}seed (\d+): (\S+): plan\(\) failed: /.exec(out);
  t.equal(found?.[2], `${folder}/mod.ts:10`);
  t.match(out, /FAILED {2}mod\.test\.ts: two is three\n {8}\S+mod\.test\.ts:2: Error: two is two/);
  t.match(err, /^error: The backend "mine" fails at/);
  const again = await denim("test", folder, "--seed", found![1]!, "--scenes", "1", "--json");
  const { results } = JSON.parse(again.out);
  const one = results.find(({ name }: { name: string }) => name.startsWith("a plan has"));
  t.same([one.ok, one.seed], [false, Number(found![1])]);
});

t.test("test: one that loops for ever at one promise does not keep the others from an answer", {
  timeout: 600_000,
}, async (t) => {
  const folder = putBackend(temporaryFolder(t), {
    "mod.ts": backendText({
      parseConfig: `parseConfig(json) {
        if ((json as { Type?: string }).Type !== "mine") for (;;);
        return null;
      }`,
      plan: "plan: () => []",
    }),
  });
  const { status, out } = await denim("test", folder);
  t.equal(status, 9);
  t.match(out, /FAILED {2}a bad config.*\n.*gave no answer within 5 s/);
  t.match(out, /ok {6}what it publishes is plain JSON/);
});

t.test("test: configs are those that the README shows, or one that is given", async (t) => {
  const example = join(root, "examples/backends/static");
  t.equal((await denim("test", example)).status, 0);
  const { status, err } = await denim("test", example, "--config", '{"Type":"static"}');
  t.equal(status, 9);
  t.match(err, /needs a Gateway/);
  t.equal((await denim("test", example, "--config", "{")).status, 2);
  t.equal((await denim("test", example, "--seed", "none")).status, 2);
});

t.test("test: what a program would print is given, and the fix says all of that again", async (t) => {
  const folder = putBackend(temporaryFolder(t), {
    "mod.ts": backendText({
      programs: `programs: () => ({ argvs: [["key"]], first: {
        ...{ name: "Key", argv: ["key"], env: {}, input: "", timeoutMs: 1_000 },
      } })`,
      publish: `publish({ link, printed }) {
        if (!printed) throw new DenimError("CONFIG_INVALID", "No key");
        return { data: printed, mtu: printed === "wide" ? 1e6 : link.mtu };
      }`,
      plan: "plan: () => []",
    }),
  });
  t.match((await denim("test", folder)).err, /No key .*--printed TEXT/);
  const few = ["--scenes", "9"];
  t.equal((await denim("test", folder, "--printed", "a", "--printed", "b", ...few)).status, 0);
  const { err } = await denim("test", folder, "--config", '{"Type":"mine"}', "--printed", "wide");
  t.ok(
    err.includes(`${folder} --config '{"Type":"mine"}' --printed wide --seed 1 --scenes 1`),
    err,
  );
});

t.test("test: a folder that has none is not found; one that does not load says why", async (t) => {
  const dir = temporaryFolder(t);
  t.equal((await denim("test", dir)).status, 3);
  const folder = putBackend(dir, { "mod.ts": "\nexport const = 7;\n" });
  const { status, out, err } = await denim("test", folder);
  t.same([status, out], [1, ""]);
  t.match(err, /why {3}\S+mine\/mod\.ts:2: /);
});

t.test("new: what is begun works as it stands", async (t) => {
  const folder = join(temporaryFolder(t), "my-own");
  const made = await denim("new", "my-own", "--dir", folder);
  t.equal(made.status, 0, made.err);
  t.match(made.out, /denim backend test .*my-own\n/);
  t.same(readdirSync(folder).sort(), ["README.md", "mod.test.ts", "mod.ts"]);
  const { status, out } = await denim("test", folder);
  t.equal(status, 0, out);
  t.match(out, /ok {6}mod\.test\.ts: a peer's subnet is routed by its address\n/);
  const titles = (text: string) => text.match(/^\*\*[^*]+\*\*/gm);
  const readme = readFileSync(join(folder, "README.md"), "utf8");
  t.same(titles(readme), titles(readFileSync(join(root, "plugins/host-gw/README.md"), "utf8")));
});

t.test("new: nothing is written over, and a name that cannot be used is refused", async (t) => {
  const folder = join(temporaryFolder(t), "mine");
  t.equal((await denim("new", "mine", "--dir", folder)).status, 0);
  t.equal((await denim("new", "mine", "--dir", folder)).status, 7);
  for (const name of ["Mine", "../mine", "host-gw"]) {
    t.equal((await denim("new", name, "--dir", `${folder}-other`)).status, 2, name);
  }
  t.equal((await denim("new", "mine", "--dir", `${folder}/none/here`)).status, 1);
});

t.test("ls: those of the program and those from the disk, and what is wrong with them", async (t) => {
  const dir = temporaryFolder(t);
  putBackend(dir, { "mod.ts": backendText() });
  putBackend(dir, { "mod.js": "throw new Error('no such card');\n" }, "broken");
  putBackend(dir, { "mod.mjs": "export const one = 1;\n" }, "host-gw");
  const { status, out } = await denim("ls", "--backends-dir", dir);
  t.equal(status, 0);
  const lines = out.split("\n").map((line) => line.replaceAll(/ {2,}/g, " | "));
  t.same(lines.filter((line) => !line.includes("/")), [
    "NAME | FROM | STATE",
    ...backends.map(({ name }) => `${name} | this program | ok`),
    "",
  ]);
  t.ok(lines.includes(`mine | ${dir}/mine/mod.ts | ok`), out);
  const place = `${dir}/broken/mod.js`;
  t.ok(lines.includes(`broken | ${place} | ${place}:1: Error: no such card`), out);
  t.match(out, /host-gw +\S+mod\.mjs +one of that name is part of the program/);
});

t.test("info: where it is, and what keeps it from being used", async (t) => {
  const dir = temporaryFolder(t);
  const folder = putBackend(dir, { "mod.ts": backendText() });
  const more = ["--backends-dir", dir, "--socket", join(dir, "none.sock")];
  const good = await denim("info", "mine", ...more);
  t.equal(good.status, 0, good.err);
  t.match(good.out, /from +\S+\/mine\/mod\.ts\n +contract +1\n +in use +no daemon answers\n/);
  chmodSync(join(folder, "mod.ts"), 0o666);
  const bad = await denim("info", "mine", ...more);
  t.equal(bad.status, 1);
  t.match(bad.err, /mine\/mod\.ts: everybody can write to it/);
  const { error } = JSON.parse((await denim("info", "mine", "--json", ...more)).out);
  t.match(error, /everybody can write to it/);
  t.equal((await denim("info", "host-gw", ...more)).status, 0);
  t.equal((await denim("info", "none", ...more)).status, 3);
});
