import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { DenimError } from "../../src/backend/mod.ts";
import { importForeign } from "../../src/host/foreign.ts";
import type { Test } from "../support/tap.ts";

function write(t: Test, files: Readonly<Record<string, string>>): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), "denim-foreign-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return (name) => join(folder, name);
}

t.test("a TypeScript module from anywhere is loaded, with its sibling and the public face", async (t) => {
  const at = write(t, {
    "backend.ts": `import { defineBackend, DenimError } from "denim/backend";
      import { name } from "./name.ts";
      const late: string = await Promise.resolve(name);
      export const backend = defineBackend({ contract: 1, name: late } as never);
      export { DenimError };`,
    "name.ts": `export const name: string = "from a sibling";`,
  });
  const module = await importForeign(at("backend.ts"));
  t.same(module["backend"], { contract: 1, name: "from a sibling" });
  t.equal(module["DenimError"], DenimError);
});

t.test("JavaScript is fine too", async (t) => {
  const at = write(t, {
    "backend.mjs": `import { parseAddress, formatAddress } from "denim/backend";
      export const address = formatAddress(parseAddress("192.0.2.1"));`,
  });
  t.equal((await importForeign(at("backend.mjs")))["address"], "192.0.2.1");
});

t.test("a module that cannot be loaded says why", async (t) => {
  const at = write(t, {
    "broken.ts": "export const = 1;",
    "throws.ts": 'throw new Error("no such card");',
  });
  const code = "CONFIG_INVALID";
  await t.rejects(importForeign(at("missing.ts")), { code });
  await t.rejects(importForeign(at("broken.ts")), { code });
  await t.rejects(importForeign(at("throws.ts")), { code, why: "no such card" });
});
