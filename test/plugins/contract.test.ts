/** Every backend that comes with Denim, built in or as an example, keeps the contract, with the configs that its README shows. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { backends } from "../../plugins/mod.ts";
import { backend as gateway } from "../../examples/backends/static/mod.ts";
import { configsIn } from "../../src/backend/contract/readme.ts";
import { backendContract } from "../contract/backend.ts";
import { root } from "../support/root.ts";

const built = backends.map((backend) => ({ backend, folder: join("plugins", backend.name) }));
const examples = [{ backend: gateway, folder: "examples/backends/static" }];

for (const { backend, folder } of [...built, ...examples]) {
  const readme = readFileSync(join(root, folder, "README.md"), "utf8");
  const configs = configsIn(readme, backend.name);
  t.test(`${backend.name}: its README has an example`, async (t) => {
    t.ok(configs.length > 0);
  });
  backendContract(t, backend, configs);
}
