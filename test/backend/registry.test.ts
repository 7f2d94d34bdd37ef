import t from "tap";
import { backends } from "../../plugins/mod.ts";
import { type Backend, defineBackend, type Json } from "../../src/backend/backend.ts";
import { BackendRegistry } from "../../src/backend/registry.ts";

function backend(name: string, contract: number = 1): Backend {
  return defineBackend<Json, Json>({
    contract: contract as 1,
    name,
    parseConfig: (json) => json,
    parseData: (json) => json,
    publish: () => ({ data: null, mtu: 1500 }),
    plan: () => [],
  });
}

t.test("a backend is found by its name, in any case", async (t) => {
  const registry = new BackendRegistry(backends);
  t.equal(registry.get("Host-GW").name, "host-gw");
  t.same(registry.names, backends.map((backend) => backend.name));
});

t.test("an unknown name says which there are", async (t) => {
  t.throws(() => new BackendRegistry([backend("a"), backend("b")]).get("vxlan"), {
    code: "CONFIG_INVALID",
    fix: "set Backend.Type to one of: a, b",
  });
});

t.test("duplicates, other contracts and unfit names are refused", async (t) => {
  for (
    const list of [
      [backend("a"), backend("a")],
      [backend("a", 2)],
      [backend("A")],
      [backend("../a")],
      [backend("")],
    ]
  ) t.throws(() => new BackendRegistry(list), { code: "CONFIG_INVALID" });
});
