/** What who asks for etcd's keys is told; where Debian's etcd is there, it says what is right. */
import t from "tap";
import { DenimError } from "../../src/base/errors.ts";
import { createEtcdApi, type EtcdSource } from "../../src/etcd/v2.ts";
import { cannotEtcd, startEtcd } from "../support/etcd.ts";
import { FakeClock } from "../support/clock.ts";
import { DAY_MS, EPOCH, HOUR_MS, joiner, Ledger, NETWORK } from "../support/ledger.ts";
import { RecordingLogger } from "../support/log.ts";

const PREFIX = "/kube-centos/network";
const KEYS = `/v2/keys${PREFIX}`;

class Face {
  readonly ledger = Ledger.open();
  readonly asked: string[] = [];
  readonly logger = new RecordingLogger();
  failure: Error | undefined;
  leader: string | undefined = "id0";
  term: number | undefined = 3;
  readonly #app;

  constructor() {
    this.ledger.do({ kind: "node.join", tokenId: "open", node: joiner(1) });
    const source: EtcdSource = {
      read: (level) => {
        this.asked.push(level);
        if (this.failure !== undefined) return Promise.reject(this.failure);
        const { state, index } = this.ledger;
        const position = { epoch: EPOCH, revision: index };
        return Promise.resolve({ state, position, leaderAgeMs: 0, leaderNode: this.leader });
      },
      self: () => ({ id: "id0", name: "host0" }),
      term: () => this.term,
      hasLeader: () => this.leader !== undefined,
    };
    const clock = new FakeClock();
    this.#app = createEtcdApi({ source, prefix: PREFIX, clock, logger: this.logger });
  }

  async ask(path: string, method = "GET", host = "127.0.0.1:2379") {
    const answer = await this.#app.request(`http://x${path}`, { method, headers: { host } });
    return { status: answer.status, headers: answer.headers, text: await answer.text() };
  }

  async json(path: string) {
    return JSON.parse((await this.ask(path)).text);
  }
}

t.test("a key says its value, and a lease when it ends", async (t) => {
  const face = new Face();
  const { status, text } = await face.ask(`${KEYS}/config?quorum=false&recursive=true`);
  const at = face.ledger.state.get("network", "it")!.modRevision;
  t.equal(status, 200);
  t.equal(
    text,
    `{"action":"get","node":{"key":"${PREFIX}/config","value":${JSON.stringify(NETWORK)},` +
      `"modifiedIndex":${at},"createdIndex":${at}}}\n`,
  );
  const { node } = await face.json(`${KEYS}/subnets/10.5.2.0-24`);
  t.equal(node.value, '{"PublicIP":"192.168.0.1","BackendType":"host-gw"}');
  t.same([node.ttl, Date.parse(node.expiration) - new FakeClock().wallMs()], [86_400, 86_400_000]);
});

t.test("what is left is rounded up, and never nothing", async (t) => {
  const face = new Face();
  const ttl = async () => (await face.json(`${KEYS}/subnets/10.5.2.0-24`)).node.ttl;
  face.ledger.pass(DAY_MS - HOUR_MS - 1);
  t.equal(await ttl(), 3_601);
  face.ledger.pass(2 * HOUR_MS);
  t.equal(await ttl(), 1, "it is over, and still there");
});

t.test("a directory shows its children, and with recursive theirs", async (t) => {
  const face = new Face();
  const names = (
    node: { key?: string; nodes?: [] },
  ): unknown => [node.key ?? "/", ...(node.nodes ?? []).map(names)];
  t.same(names((await face.json(KEYS)).node), [PREFIX, [`${PREFIX}/config`], [
    `${PREFIX}/subnets`,
  ]]);
  const leases = ["1", "2"].map((n) => [`${PREFIX}/subnets/10.5.${n}.0-24`]);
  t.same(names((await face.json("/v2/keys?recursive=true&sorted=1")).node), [
    "/",
    ["/kube-centos", [PREFIX, [`${PREFIX}/config`], [`${PREFIX}/subnets`, ...leases]]],
  ]);
  const { node } = await face.json(`${KEYS}/subnets/`);
  t.equal(node.dir, true);
});

t.test("the headers say how far the state is", async (t) => {
  const face = new Face();
  face.ledger.do({ kind: "tick" }, 5_000);
  const { headers } = await face.ask(KEYS);
  t.equal(headers.get("x-etcd-index"), String(face.ledger.state.revision));
  t.equal(headers.get("x-raft-index"), String(face.ledger.index));
  t.equal(headers.get("x-raft-term"), "3");
  t.equal(headers.get("x-etcd-cluster-id"), "11223344556677");
  t.equal(headers.get("content-type"), "application/json");
  face.term = undefined;
  t.equal((await face.ask(KEYS)).headers.get("x-raft-term"), "0", "an agent");
});

t.test("a quorum is asked where that is wanted", async (t) => {
  const face = new Face();
  await face.ask(KEYS);
  await face.ask(`${KEYS}?quorum=true`);
  t.same(face.asked, ["stale", "linearizable"]);
});

t.test("without an answer nothing is said to be missing", async (t) => {
  const face = new Face();
  face.failure = new DenimError("NO_LEADER", "Nobody leads");
  const { status, text } = await face.ask(`${KEYS}/config?quorum=true`);
  t.equal(status, 500);
  t.same(JSON.parse(text), {
    errorCode: 300,
    message: "Raft Internal Error",
    cause: "Nobody leads",
    index: 0,
  });
  t.same(face.logger.lines, []);
  face.failure = new Error("a mistake of ours");
  t.equal((await face.ask(KEYS)).status, 500);
  t.equal(face.logger.lines.length, 1);
});

t.test("what would write, or wait, is refused in etcd's form", async (t) => {
  const face = new Face();
  for (const method of ["PUT", "POST", "DELETE"]) {
    const { status, text, headers } = await face.ask(`${KEYS}/config`, method);
    const { errorCode, message, cause, index } = JSON.parse(text);
    t.same([status, errorCode, message], [400, 107, "Root is read only"], method);
    t.match(cause, /denim network set/);
    t.equal(headers.get("x-etcd-index"), String(index));
  }
  const waits = await face.json(`${KEYS}?wait=true&waitIndex=0`);
  t.equal(waits.errorCode, 209);
  t.match(waits.cause, /no watches yet/);
});

t.test("clients are told of this node only, at the address they came to", async (t) => {
  const face = new Face();
  const own = {
    ...{ id: "id0", name: "host0", peerURLs: [] },
    clientURLs: ["http://127.0.0.1:2379"],
  };
  t.same(await face.json("/v2/members"), { members: [own] });
  t.same(await face.json("/v2/members/leader"), own);
  face.leader = "id1";
  t.same(await face.json("/v2/members/leader"), {
    ...{ id: "id1", name: "host1", peerURLs: [], clientURLs: [] },
  });
  face.leader = undefined;
  t.equal((await face.ask("/v2/members/leader")).status, 503);
});

t.test("health is whether somebody leads", async (t) => {
  const face = new Face();
  t.same([(await face.ask("/health")).status, await face.json("/health")], [200, {
    health: "true",
  }]);
  face.leader = undefined;
  t.same([(await face.ask("/health")).status, await face.json("/health")], [
    ...[503, { health: "false" }],
  ]);
  t.same(await face.json("/version"), { etcdserver: "2.3.8", etcdcluster: "2.3.0" });
});

t.test("a name that may be anybody's is refused", async (t) => {
  const face = new Face();
  for (const host of ["evil.example", "127.0.0.1.evil.example:2379", ""]) {
    t.equal((await face.ask(KEYS, "GET", host)).status, 403, host);
  }
  for (const host of ["localhost:2379", "[::1]:2379", "127.0.0.1"]) {
    t.equal((await face.ask(KEYS, "GET", host)).status, 200, host);
  }
});

const QUESTIONS = [
  ...["/v2/keys", "/v2/keys/", "/v2/keys/?recursive=true&sorted=true", "/v2/keys/kube-centos"],
  ...[
    KEYS,
    `${KEYS}?sorted=T`,
    `${KEYS}/subnets?recursive=1&sorted=1`,
    `${KEYS}/subnets/?sorted=t`,
  ],
  ...[`${KEYS}/config`, `${KEYS}/config/`, `${KEYS}/config?quorum=true`, `${KEYS}/config?foo=x`],
  ...[`${KEYS}/config?wait=true&quorum=true`, `${KEYS}/subnets/10.5.1.0-24`],
  ...["/v2/keys/nope", "/v2/keys/nope/x", `${KEYS}/subnets/10.5.9.0-24`, "/v2/keys/a%20b/%C3%A4"],
  ...["/v2/keys/a%3Cb%26c%3E", `${KEYS}/config/x`, `${KEYS}/config?recursive=maybe`],
  ...[`${KEYS}/config?sorted=2`, `${KEYS}/config?quorum=`, `${KEYS}/config?wait=yes`],
  ...[`${KEYS}?waitIndex=z`, "/v2", "/", "/v2/nothing"],
];

t.test("Debian's etcd answers the same", { skip: cannotEtcd, timeout: 300_000 }, async (t) => {
  const face = new Face();
  const url = await startEtcd(t);
  const put = async (path: string, value: string, ttl?: string) => {
    const body = new URLSearchParams({ value, ...(ttl === undefined ? {} : { ttl }) });
    const answer = await fetch(`${url}${path}`, { method: "PUT", body });
    t.equal(answer.status, 201, await answer.text());
  };
  await put(`${KEYS}/config`, NETWORK);
  for (const n of [1, 2]) {
    const value = `{"PublicIP":"192.168.0.${n - 1}","BackendType":"host-gw"}`;
    await put(`${KEYS}/subnets/10.5.${n}.0-24`, value, "86400");
  }
  for (const path of QUESTIONS) {
    const answer = await fetch(`${url}${path}`);
    const theirs = { status: answer.status, headers: answer.headers, text: await answer.text() };
    const [ours, etcds] = [comparable(await face.ask(path)), comparable(theirs)];
    // Unless it is asked to sort, etcd lists a directory as it comes (Go's maps).
    const isSorted = /[?&]sorted=/.test(path);
    t.same(isSorted ? ours : unordered(ours), isSorted ? etcds : unordered(etcds), path);
  }
});

/** Without what two clusters cannot have in common. */
function comparable({ status, headers, text }: Awaited<ReturnType<Face["ask"]>>) {
  const etcd = [...headers.keys()].filter((name) => /^x-(etcd|raft)/.test(name)).sort();
  const body = text.replace(/"(modifiedIndex|createdIndex|index)":\d+/g, '"$1":N')
    .replace(/"expiration":"[^"]*Z"/g, '"expiration":T').replace(/"ttl":\d+/g, '"ttl":N');
  return { status, etcd, type: headers.get("content-type")?.toLowerCase(), body };
}

/** The same whatever the order of its nodes; keys stay in theirs. */
function unordered(answer: ReturnType<typeof comparable>) {
  if (!answer.body.startsWith("{")) return answer;
  const json = answer.body.replaceAll(/:([NT])(?=[,}])/g, ':"$1"');
  const sorted = (key: string, value: unknown) =>
    key === "nodes" ? (value as { key: string }[]).toSorted(byKey) : value;
  return { ...answer, body: JSON.stringify(JSON.parse(json, sorted)) };
}

function byKey({ key: a }: { key: string }, { key: b }: { key: string }): number {
  return a < b ? -1 : 1;
}
