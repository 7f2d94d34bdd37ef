/** Backends from the disk: used as if they were built in, and whatever they do, it stays with them. */
import { chmodSync, chownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import t, { type Test } from "tap";
import type { Scene } from "../../../src/backend/backend.ts";
import { BackendRegistry } from "../../../src/backend/registry.ts";
import { splitPlan } from "../../../src/backend/scene.ts";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { DenimError } from "../../../src/base/errors.ts";
import { ForeignBackends } from "../../../src/host/backends/foreign-backends.ts";
import { parsePrefix } from "../../../src/ip/prefix.ts";
import { keyOfHook } from "../../../src/plan/hook.ts";
import { formatWanted } from "../../../src/plan/text.ts";
import { FakeClock } from "../../support/clock.ts";
import { backendText, filesIn, LANGUAGES, putBackend } from "../../support/foreign.ts";
import { hostAt, peerAt } from "../../support/hosts.ts";

const host = hostAt("10.0.0.1/24");
const scene: Scene<never, never> = {
  network: parsePrefix("10.42.0.0/16"),
  host,
  config: { Type: "mine" } as never,
  own: peerAt("a", "10.0.0.1", "10.42.1.0/24") as never,
  peers: [
    peerAt("b", "10.0.0.2", "10.42.2.0/24") as never,
    { ...peerAt("c", "10.0.0.3", "10.42.3.0/24"), data: "odd" as never },
  ],
};

function folderOf(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), "denim-backends-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A backend of these files, loaded from a directory as the daemon does. */
function mine(
  t: Test,
  files: Readonly<Record<string, string>>,
  clock: Clock = systemClock(),
) {
  const dir = folderOf(t);
  const folder = putBackend(dir, files);
  const source = new ForeignBackends({ dir, clock });
  t.teardown(() => source[Symbol.asyncDispose]());
  const backend = new BackendRegistry([], source).get("Mine");
  return { dir, folder, backend, source };
}

async function failureOf(promise: unknown): Promise<DenimError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof DenimError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

for (const language of LANGUAGES) {
  t.test(`a backend in mod.${language}, with a sibling, publishes and plans`, async (t) => {
    const publish = "publish: (host) => ({ data: { word }, mtu: host.link.mtu - 20 })";
    const { backend } = mine(t, filesIn(language, { publish }));
    t.same(await backend.publish(host, null), { data: { word: "hello" }, mtu: 1480 });
    t.same(splitPlan(await backend.plan(scene)).wanted.map(formatWanted), [
      "10.42.2.0/24 via 10.0.0.2 dev eth0",
      "10.42.3.0/24 via 10.0.0.3 dev eth0",
    ]);
  });
}

t.test("what it refuses on purpose is said in its own words", async (t) => {
  const { backend } = mine(t, {
    "mod.ts": backendText({
      parseConfig: `parseConfig() {
        throw new DenimError("CONFIG_INVALID", "No Port", { why: "none is given", fix: "Port: 7" });
      }`,
    }),
  });
  const { code, message, why, fix } = await failureOf(backend.publish(host, null));
  t.same([code, message, why, fix], ["CONFIG_INVALID", "No Port", "none is given", "Port: 7"]);
});

t.test("a peer whose data it cannot read is left out with the reason, the others stay", async (t) => {
  const { backend } = mine(t, {
    "mod.ts": backendText({
      parseData: `parseData(json) {
        if (json !== null) throw new DenimError("CONFIG_INVALID", "The data is no null");
        return json;
      }`,
    }),
  });
  const { wanted, leftOut } = splitPlan(await backend.plan(scene));
  t.same(wanted.map(formatWanted), ["10.42.2.0/24 via 10.0.0.2 dev eth0"]);
  t.same(leftOut.map(({ why }) => why), [
    "what c has published cannot be read: The data is no null",
  ]);
});

t.test("what it has run is asked for, and what that printed is given to it", async (t) => {
  const { backend } = mine(t, {
    "mod.ts": backendText({
      programs: `programs: () => ({
        argvs: [["ip", "route", "add"], ["/usr/bin/id", "-u"]],
        first: {
          ...{ name: "Id", argv: ["/usr/bin/id", "-u"], env: {}, input: "", timeoutMs: 1000 },
        },
      })`,
      publish: "publish: ({ link, printed }) => ({ data: printed ?? null, mtu: link.mtu })",
      plan: `plan: ({ peers }) => peers.map(({ subnets }) => ({
        kind: "hook" as const,
        destination: subnets[0]!,
        add: { name: "Add", argv: ["ip", "route", "add"], env: {}, input: "", timeoutMs: 1000 },
      }))`,
    }),
  });
  const use = await backend.programs!(null);
  t.same(use.argvs, [["ip", "route", "add"], ["/usr/bin/id", "-u"]]);
  t.same(use.first?.argv, ["/usr/bin/id", "-u"]);
  t.same(await backend.publish({ ...host, printed: "0\n" }, null), { data: "0\n", mtu: 1500 });
  const { hooks } = splitPlan(await backend.plan(scene));
  t.same(hooks.map(keyOfHook), ["10.42.2.0/24", "10.42.3.0/24"]);
});

t.test("one that runs nothing says so, and one whose programs are none has failed", async (t) => {
  t.same(await mine(t, { "mod.ts": backendText() }).backend.programs!(null), { argvs: [] });
  const { backend } = mine(t, {
    "mod.ts": backendText({ programs: 'programs: () => ({ argvs: ["ip route add"] }) as never' }),
  });
  const { code, why } = await failureOf(backend.programs!(null));
  t.equal(code, "BACKEND_FAILED");
  t.match(why ?? "", /mod\.ts:\d+: .*argvs is \["ip route add"\].*no list of words/);
});

/** What is wrong with it; where that is, from the end of the folder's path; what is said. */
const FAULTY: readonly (readonly [
  what: string,
  files: Readonly<Record<string, string>>,
  at: RegExp,
  said: RegExp,
])[] = [
  [
    "throws when it is loaded",
    { "mod.ts": backendText({}, { before: '\nthrow new Error("no such card");\n' }) },
    /mod\.ts:3$/,
    /Error: no such card/,
  ],
  [
    "is no TypeScript",
    { "mod.ts": "export const one = 1;\nexport const = 2;\n" },
    /mod\.ts:2$/,
    /./,
  ],
  [
    "has a sibling that is broken",
    {
      "mod.ts": backendText({}, { before: 'import "./two.ts";' }),
      "two.ts": "\n\nnull.length;\n",
    },
    /two\.ts:3$/,
    /TypeError: /,
  ],
  [
    "imports what is not there",
    { "mod.ts": backendText({}, { before: 'import "./none.ts";' }) },
    /(mod|none)\.ts/,
    /none\.ts/,
  ],
  [
    "imports from elsewhere on the disk",
    { "mod.ts": backendText({}, { before: 'import "/etc/hostname";' }) },
    /mod\.ts/,
    /is not in the backend's own folder/,
  ],
  ["exports no backend", { "mod.ts": "export const one = 1;\n" }, /mod\.ts$/, /has no export/],
  [
    "is of another contract",
    {
      "mod.ts": backendText({ contract: "contract: 2" as string }),
    },
    /mod\.ts/,
    /written for contract 2, this program has contract 1/,
  ],
  [
    "has another name than its folder",
    {
      "mod.ts": backendText({ name: 'name: "yours"' }),
    },
    /mod\.ts/,
    /its folder is called "mine", and its backend "yours"/,
  ],
  [
    "lacks a function",
    {
      "mod.ts": backendText({ plan: "plan: 7 as never" }),
    },
    /mod\.ts/,
    /has no function plan/,
  ],
  [
    "throws when it plans",
    {
      "mod.ts": backendText({ plan: "plan: () => {\n    throw new RangeError('too far');\n  }" }),
    },
    /mod\.ts:10$/,
    /RangeError: too far/,
  ],
  [
    "throws what is no error",
    {
      "mod.ts": backendText({ plan: "plan: () => {\n    throw 'nothing';\n  }" }),
    },
    /mod\.ts/,
    /it threw nothing/,
  ],
  [
    "plans something that is no array",
    {
      "mod.ts": backendText({ plan: "plan: () => ({}) as never" }),
    },
    /mod\.ts:9$/,
    /it is \{\}, and no array/,
  ],
  [
    "plans something that cannot be sent",
    {
      "mod.ts": backendText({ plan: "plan: () => [() => 1] as never" }),
    },
    /mod\.ts/,
    /could not be cloned/,
  ],
  [
    "plans a link that is not Denim's",
    {
      "mod.ts": backendText({
        plan: `plan: ({ network }) => [{
        kind: "link", name: "eth0", network, mac: "02:00:00:00:00:01", mtu: 1500,
      }]`,
      }),
    },
    /mod\.ts:9$/,
    /plan\[0\] is a link whose name is "eth0"/,
  ],
  [
    "plans a route for everything",
    {
      "mod.ts": backendText({
        plan: `plan: ({ host, own }) => [{
        kind: "route", device: host.link.name, via: own.publicIps[0]!,
        destination: { family: 4, base: 0n, length: 0 },
      }]`,
      }),
    },
    /mod\.ts:9$/,
    /0\.0\.0\.0\/0: it lies outside of the network/,
  ],
  [
    "ends its process",
    {
      "mod.ts": backendText({ plan: "plan: () => process.exit(3)" }, {
        before: 'import process from "node:process";',
      }),
    },
    /mod\.ts/,
    /its thread has ended/,
  ],
];

for (const [what, files, place, said] of FAULTY) {
  t.test(`contained, and said where: it ${what}`, async (t) => {
    const { backend, folder } = mine(t, files);
    const { code, message, why = "" } = await failureOf(backend.plan(scene));
    t.same([code, message.startsWith('The backend "mine" has failed')], ["BACKEND_FAILED", true]);
    const at = /^(\S+): /.exec(why)?.[1] ?? "";
    t.ok(at.startsWith(`${folder}/`), why);
    t.match(at, place);
    t.match(why, said);
  });
}

for (const message of ["null", "7", '{ kind: "failed" }', '{ kind: "fault", id: 1 }']) {
  t.test(`a message that is no answer is contained: ${message}`, async (t) => {
    const { backend } = mine(t, {
      "mod.ts": backendText({ plan: `plan: () => (parentPort!.postMessage(${message}), [])` }, {
        before: 'import { parentPort } from "node:worker_threads";',
      }),
    });
    const answer = (async () => await backend.plan(scene))();
    const said = await answer.then(() => "an answer", ({ why }: DenimError) => why ?? "");
    t.match(said, message === "7" ? /^an answer$/ : /mod\.ts: it has sent what is no answer/);
  });
}

t.test("what it publishes can be JSON, or it has failed", async (t) => {
  const { backend } = mine(t, {
    "mod.ts": backendText({ publish: "publish: () => ({ data: { n: 1n }, mtu: 1400 }) as never" }),
  });
  t.match(
    (await failureOf(backend.publish(host, null))).why ?? "",
    /its data cannot be JSON: .*BigInt/,
  );
});

t.test("one whose files have gone meanwhile fails as any other, and others come in their place", async (t) => {
  const clock = new FakeClock();
  const { backend, folder } = mine(t, {
    "mod.ts": backendText({ plan: "plan: () => {\n    for (;;);\n  }" }),
  }, clock);
  await backend.publish(host, null);
  rmSync(join(folder, "mod.ts"));
  const asked = failureOf(backend.plan(scene));
  await clock.advance(5_000);
  t.match((await asked).why ?? "", /mod\.ts: it gave no answer within 5 s/);
  await clock.advance(1_000);
  const { code, why = "" } = await failureOf(backend.plan(scene));
  t.same([code, why], ["BACKEND_FAILED", `${folder}: it has no mod.ts, mod.js, mod.mjs`]);
  putBackend(dirname(folder), filesIn("mjs"));
  await clock.advance(2_000);
  t.equal((await backend.plan(scene)).length, 2);
});

t.test("one that fails later, when nobody waits, is loaded anew by the next question", async (t) => {
  const clock = new FakeClock();
  const { backend } = mine(t, {
    "mod.ts": backendText({
      publish: `publish(host) {
        setTimeout(() => {
          throw new Error("late");
        }, 0);
        return { data: null, mtu: host.link.mtu };
      }`,
    }),
  }, clock);
  await backend.publish(host, null);
  const { why = "" } = await failureOf((async () => {
    for (;;) await backend.plan(scene);
  })());
  t.match(why, /mod\.ts:\d+: Error: late/);
  await clock.advance(1_000);
  t.equal((await backend.plan(scene)).length, 2);
});

t.test("an endless loop ends with its time, and is not tried again at once", async (t) => {
  const clock = new FakeClock();
  const { backend, folder } = mine(t, {
    "mod.ts": backendText({ plan: "plan: () => {\n    for (;;);\n  }" }),
  }, clock);
  await backend.publish(host, null);
  const asked = failureOf(backend.plan(scene));
  await clock.advance(5_000);
  const { why = "" } = await asked;
  t.ok(why.startsWith(`${folder}/mod.ts:9: it gave no answer within 5 s`), why);
  t.equal((await failureOf(backend.publish(host, null))).why, why);
  writeFileSync(join(folder, "mod.ts"), backendText());
  await clock.advance(1_000);
  t.equal((await backend.plan(scene)).length, 2, "the files are read as they are by then");
});

t.test("memory has a limit, too", async (t) => {
  const { backend } = mine(t, {
    "mod.ts": backendText({
      plan: `plan: () => {
        const all: string[] = [];
        for (;;) all.push("x".repeat(10) + { n: all.length }.n);
      }`,
    }),
  });
  const { why = "" } = await failureOf(backend.plan(scene));
  t.match(why, /mod\.ts.*(it used more memory than a backend has|gave no answer within 5 s)/);
  t.ok(process.memoryUsage().rss < 2 ** 30);
});

t.test("the environment of the daemon is not a backend's", async (t) => {
  process.env["DENIM_TEST_SECRET"] = "secret";
  t.teardown(() => delete process.env["DENIM_TEST_SECRET"]);
  const { backend } = mine(t, {
    "mod.ts": backendText({
      publish: `publish: () => ({ data: process.env["DENIM_TEST_SECRET"] ?? "none", mtu: 1500 })`,
    }, { before: 'import process from "node:process";' }),
  });
  t.equal((await backend.publish(host, null)).data, "none");
});

t.test("files that others can write to are not loaded", {
  skip: process.getuid?.() !== 0 && "needs root to give files away",
}, async (t) => {
  const cases: readonly (readonly [RegExp, (folder: string, dir: string) => void])[] = [
    [/mod\.ts: everybody can write/, (folder) => chmodSync(join(folder, "mod.ts"), 0o646)],
    [/mod\.ts: its group can write/, (folder) => chmodSync(join(folder, "mod.ts"), 0o664)],
    [/mine: everybody can write/, (folder) => chmodSync(folder, 0o777)],
    [/mine: everybody can write/, (folder) => chmodSync(folder, 0o1777)],
    [/mod\.ts: everybody can write/, (folder) => chmodSync(join(folder, "mod.ts"), 0o1666)],
    [/denim-backends-\w+: its group can/, (_, dir) => chmodSync(dir, 0o775)],
    [
      /two\.ts: it belongs to the user 1234/,
      (folder) => chownSync(join(folder, "two.ts"), 1234, 0),
    ],
    [/three\.ts: it is a link/, (folder) => symlinkSync("/etc/passwd", join(folder, "three.ts"))],
  ];
  for (const [said, spoil] of cases) {
    const { backend, folder, dir } = mine(t, { "mod.ts": backendText(), "two.ts": "" });
    spoil(folder, dir);
    const { code, why = "", fix = "" } = await failureOf(backend.publish(host, null));
    t.equal(code, "BACKEND_FAILED");
    t.match(why, said);
    t.match(fix, /chown -R root:root .* && chmod -R go-w /);
  }
});

t.test("a link to the directory is followed, and what it leads to is looked at", {
  skip: process.getuid?.() !== 0 && "needs root to give files away",
}, async (t) => {
  const [real, linked] = [folderOf(t), folderOf(t)];
  const home = join(real, "home");
  putBackend(join(home, "backends"), filesIn("ts"));
  symlinkSync(join(home, "backends"), join(linked, "backends"));
  const clock = new FakeClock();
  const source = new ForeignBackends({ dir: join(linked, "backends"), clock });
  t.teardown(() => source[Symbol.asyncDispose]());
  chownSync(home, 1234, 0);
  const { why = "" } = await failureOf(source.find("mine")!.publish(host, null));
  t.match(why, /\/home: it belongs to the user 1234/);
  chownSync(home, 0, 0);
  await clock.advance(1_000);
  t.same(await source.find("mine")!.publish(host, null), { data: null, mtu: 1500 });
});

t.test("a name that nobody has says where it would be looked for", async (t) => {
  const { source, dir } = mine(t, { "mod.ts": backendText() });
  const registry = new BackendRegistry([], source);
  t.same(registry.names, ["mine"]);
  for (const name of ["other", "../mine", ""]) {
    t.throws(() => registry.get(name), { code: "CONFIG_INVALID" });
  }
  t.match((await failureOf((async () => registry.get("other"))())).why ?? "", new RegExp(dir));
});
