/** The house rules of ARCHITECTURE.md, as a test: layers, purity, size, exports. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import t from "tap";
import { root } from "./support/root.ts";

/** Imports point to a lower number; folders with the same number do not know each other. */
const LAYER: Readonly<Record<string, number>> = {
  ...{ base: 0, ip: 0 },
  ...{ raft: 1, lease: 1, plan: 1, roles: 1 },
  ...{ backend: 2 },
  ...{ api: 3, etcd: 3, transport: 3, store: 3, kernel: 3, host: 3 },
  ...{ replica: 4, remote: 4, doctor: 4 },
  ...{ agent: 5 },
  ...{ cli: 6 },
};

/** The one exception inside a layer: addresses are numbers with the errors of `base`. */
const SAME_LAYER_ALLOWED = new Set(["ip -> base"]);

const LINES_MAX = 350;

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function sources(pattern: string): Source[] {
  return globSync(pattern, { cwd: root }).sort().map((path) => {
    const text = readFileSync(join(root, path), "utf8");
    const imports = [
      /^(?:import|export)\s[^;]*?from\s+"([^"]+)"/gms,
      /^import\s+"([^"]+)"/gm,
      /\bimport\(\s*"([^"]+)"\s*\)/g,
    ].flatMap((form) => [...text.matchAll(form)].map((match) => match[1]!));
    return { path, text, imports };
  });
}

/** `src/lease/apply.ts` is in the folder `lease`; `src/main.ts` is in none. */
function folderOf(path: string): string | undefined {
  return /^src\/([^/]+)\//.exec(path)?.[1];
}

function targetOf(source: Source, specifier: string): string {
  return relative(root, join(root, dirname(source.path), specifier));
}

t.test("imports point down", async (t) => {
  const wrong: string[] = [];
  for (const source of sources("src/*/**/*.ts")) {
    const from = folderOf(source.path)!;
    for (const specifier of source.imports.filter((name) => name.startsWith("."))) {
      const to = folderOf(targetOf(source, specifier));
      if (to === from) continue;
      const fine = to !== undefined && LAYER[to] !== undefined &&
        (LAYER[to]! < LAYER[from]! || SAME_LAYER_ALLOWED.has(`${from} -> ${to}`));
      if (!fine) wrong.push(`${source.path} imports ${specifier}`);
    }
  }
  t.same(wrong, []);
});

t.test("every folder of src has a layer", async (t) => {
  const folders = new Set(sources("src/*/**/*.ts").map((source) => folderOf(source.path)!));
  t.same([...folders].filter((folder) => LAYER[folder] === undefined), []);
});

t.test("layers 0 to 2, codecs and projections import nothing from outside", async (t) => {
  const pure = [
    ...sources("src/{base,ip,raft,lease,plan,roles,backend,kernel/netlink}/**/*.ts"),
    ...sources("src/etcd/{projection,tree,v2-json}.ts"),
  ];
  const wrong = pure.flatMap((source) =>
    source.imports.filter((name) => !name.startsWith(".")).map((name) => `${source.path}: ${name}`)
  );
  t.same(wrong, []);
});

t.test("plugins import one name", async (t) => {
  const wrong = sources("plugins/*/**/*.ts").flatMap((source) =>
    source.imports
      .filter((name) => name !== "denim/backend" && !/^\.\/[a-z-]+\.ts$/.test(name))
      .map((name) => `${source.path}: ${name}`)
  );
  t.same(wrong, []);
});

t.test("only src/main.ts knows the list of plugins", async (t) => {
  const wrong = sources("src/**/*.ts").filter((source) =>
    source.path !== "src/main.ts" && source.imports.some((name) => name.includes("plugins/"))
  );
  t.same(wrong.map((source) => source.path), []);
});

t.test("time and chance are asked for in base only", async (t) => {
  const banned =
    /\b(Date\.now|Math\.random|setTimeout|setInterval|setImmediate|performance\.now|new Date\(\))/;
  const wrong = sources("{src,plugins}/**/*.ts")
    .filter((source) => !source.path.startsWith("src/base/"))
    .filter((source) => banned.test(withoutComments(source.text)));
  t.same(wrong.map((source) => source.path), []);
});

t.test("nothing in src belongs to one runtime", async (t) => {
  const wrong = sources("{src,plugins}/**/*.ts")
    .filter((source) => /\bDeno\./.test(withoutComments(source.text)));
  t.same(wrong.map((source) => source.path), []);
});

t.test("exports are named, and a room fits on a few screens", async (t) => {
  const all = sources("{src,plugins,compile}/**/*.ts");
  t.same(all.filter((source) => /^export default/m.test(source.text)).map((s) => s.path), []);
  const long = all.filter((source) => source.text.split("\n").length > LINES_MAX + 1);
  t.same(long.map((source) => source.path), []);
});

t.test("file names are kebab-case", async (t) => {
  const wrong = sources("{src,plugins,compile,test}/**/*.ts").map((source) => source.path)
    .filter((path) => !/^([a-z0-9-]+\/)*[a-z0-9-]+(\.test)?\.ts$/.test(path));
  t.same(wrong, []);
});

t.test("no file is a leftover", async (t) => {
  const used = new Set(
    sources("{src,plugins,compile,test,examples}/**/*.ts").flatMap((source) =>
      source.imports.filter((name) => name.startsWith(".")).map((name) => targetOf(source, name))
    ),
  );
  const entries = new Set(
    ["src/main.ts", "src/backend/mod.ts", "src/host/backends/worker-main.ts"],
  );
  const dead = sources("src/**/*.ts").map((source) => source.path)
    .filter((path) => !used.has(path) && !entries.has(path));
  t.same(dead, []);
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");
}
