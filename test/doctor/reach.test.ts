import t from "tap";
import { type Ask, type Connects, type Trial, tryReach as reach } from "../../src/doctor/reach.ts";
import { formatAddress, parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";

const TRIAL = {
  name: "b",
  subnet: parsePrefix("10.244.2.0/24"),
  publicIp: parseAddress("192.0.2.2"),
  own: { subnet: parsePrefix("10.244.1.0/24"), address: parseAddress("192.0.2.1") },
  route: "ok",
};
const PEER = "192.0.2.2";

const answers: Connects = () => Promise.resolve(true);

const tryReach = (trial: Trial, ask: Ask, isNeighbour: () => boolean | undefined) =>
  reach(trial, ask, isNeighbour, answers);

/** Answers to some packets, as `from > to`. */
function network(answers: Readonly<Record<string, string>>): Ask {
  return async ({ from, to }) => {
    const by = answers[`${formatAddress(from)} > ${formatAddress(to)}`];
    return by === undefined ? undefined : { by: parseAddress(by), kind: "expired" };
  };
}

const CONTAINERS = "10.244.1.2 > 10.244.2.2";
const FROM_HOST = "192.0.2.1 > 10.244.2.2";
const TO_HOST = "192.0.2.1 > 192.0.2.2";

t.test("the peer's host, or an address of its own subnet, answers", async (t) => {
  for (const by of [PEER, "10.244.2.1"]) {
    const { check, result } = await tryReach(TRIAL, network({ [CONTAINERS]: by }), () => true);
    t.same({ check, result }, { check: "reach-b", result: "ok" });
  }
});

t.test("each cause has its own words", async (t) => {
  const why = async (answers: Readonly<Record<string, string>>, neighbour?: boolean) => {
    const finding = await tryReach(TRIAL, network(answers), () => neighbour);
    t.equal(finding.result, "failed");
    t.ok(finding.fix);
    return finding.why ?? "";
  };
  t.match(await why({ [FROM_HOST]: PEER, [TO_HOST]: PEER }), /10\.244\.1\.0\/24 are dropped/);
  t.match(await why({ [TO_HOST]: PEER }), /passes nothing on/);
  t.match(await why({}, false), /nobody on this link answers/);
  t.match(await why({}), /a firewall drops ICMP/);
});

t.test("what this host's own kernel says of a link without an answer is no answer", async (t) => {
  const own = network({
    [CONTAINERS]: "192.0.2.1",
    [FROM_HOST]: "192.0.2.1",
    [TO_HOST]: "192.0.2.1",
  });
  const { why } = await tryReach(TRIAL, own, () => false);
  t.match(why ?? "", /nobody on this link answers/);
});

t.test("somebody in between is named", async (t) => {
  const found = await tryReach(TRIAL, network({ [CONTAINERS]: "192.0.2.254" }), () => true);
  t.equal(found.result, "note");
  t.match(found.found, /192\.0\.2\.254 answers for b/);
});

const TUNNEL = {
  ...TRIAL,
  tunnel: { device: "denim.1", port: 8472, end: { host: "10.244.2.0", port: 7470 } },
};

t.test("through a tunnel, what arrives as a ping has to arrive as a connection, too", async (t) => {
  const asked: string[] = [];
  const through = async (isAnswered: boolean) =>
    await reach(TUNNEL, network({ [CONTAINERS]: "10.244.2.0" }), () => undefined, (endpoint) => {
      asked.push(`${endpoint.host}:${endpoint.port}`);
      return Promise.resolve(isAnswered);
    });
  t.equal((await through(true)).result, "ok");
  const spoiled = await through(false);
  t.same(asked, ["10.244.2.0:7470", "10.244.2.0:7470"]);
  t.equal(spoiled.result, "warning");
  t.match(spoiled.why ?? "", /checksums are spoiled where denim\.1 leaves them to a network card/);
  t.equal(spoiled.fix, "on both hosts: ethtool -K denim.1 tx-checksum-ip-generic off");
});

t.test("where pings go beside the tunnel and not through it, its port is named", async (t) => {
  const { why, fix } = await tryReach(TUNNEL, network({ [TO_HOST]: PEER }), () => undefined);
  t.match(why ?? "", /nothing comes through denim\.1: a firewall drops UDP 8472/);
  t.match(fix ?? "", /let UDP 8472 in/);
});

t.test("without a tunnel no connection is tried", async (t) => {
  const ask = network({ [CONTAINERS]: PEER });
  const { result } = await reach(TRIAL, ask, () => true, () => Promise.reject(new Error("tried")));
  t.equal(result, "ok");
});

t.test("without a route nothing is sent", async (t) => {
  const ask: Ask = () => Promise.reject(new Error("sent"));
  const found = await tryReach({ ...TRIAL, route: "missing" }, ask, () => true);
  t.equal(found.result, "failed");
  t.match(found.why ?? "", /missing/);
});
