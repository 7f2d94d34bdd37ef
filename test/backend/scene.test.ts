import t from "tap";
import { defineBackend, type Json, type Peer } from "../../src/backend/backend.ts";
import { readScene } from "../../src/backend/scene.ts";
import { DenimError } from "../../src/base/errors.ts";
import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { hostAt } from "../support/hosts.ts";

const backend = defineBackend<Json, string>({
  contract: 1,
  name: "strict",
  parseConfig: (json) => json,
  parseData(json) {
    if (typeof json !== "string") throw new DenimError("CONFIG_INVALID", "Data must be text");
    return json;
  },
  publish: () => ({ data: "", mtu: 1500 }),
  plan: () => [],
});

const peer = (node: string, data: Json): Peer<Json> => ({
  node,
  data,
  subnets: [],
  publicIps: [parseAddress("10.0.0.2")],
});

const host = hostAt("10.0.0.1/24");
const network = parsePrefix("10.42.0.0/16");

t.test("a peer with unreadable data is dropped, the others stay", async (t) => {
  const { scene, dropped } = readScene(backend, {
    network,
    host,
    config: null,
    own: peer("a", "mine"),
    peers: [peer("b", 7), peer("c", "fine")],
  });
  t.same(scene.peers.map((peer) => peer.node), ["c"]);
  t.same(dropped, [{ node: "b", why: "Data must be text" }]);
});

t.test("own data that cannot be read is an error", async (t) => {
  t.throws(() =>
    readScene(backend, {
      network,
      host,
      config: null,
      own: peer("a", 7),
      peers: [],
    }), {
    code: "CONFIG_INVALID",
  });
});
