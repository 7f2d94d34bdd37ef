/** Every route, with all rights and with those of an open port. */
import t from "tap";
import { createApi } from "../../src/api/app.ts";
import { systemClock } from "../../src/base/clock.ts";
import { FakeService, SECRET, STATUS } from "../support/fake-service.ts";
import { joiner } from "../support/ledger.ts";
import { RecordingLogger } from "../support/log.ts";

interface Asked {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function api(rights: "all" | "read" = "all") {
  const service = new FakeService();
  const logger = new RecordingLogger();
  const app = createApi({ service, clock: systemClock(), logger, rights });
  const ask = (path: string, { headers, ...rest }: Asked = {}) =>
    Promise.resolve(
      app.request(`http://localhost${path}`, {
        headers: { host: "localhost", ...headers },
        ...rest,
      }),
    );
  return { service, logger, ask };
}

async function codeOf(answer: Response): Promise<string> {
  return ((await answer.json()) as { code: string }).code;
}

const READS = [
  ...["/", "/livez", "/readyz", "/metrics", "/v1/self", "/v1/raft", "/v1/network", "/v1/leases"],
  ...["/v1/leases/10.5.1.0-24", "/v1/nodes", "/v1/nodes/id1", "/v1/nodes/host1", "/v1/nodes/self"],
  ...["/v1/nodes/host1/routes", "/v1/reservations", "/v1/levels", "/v1/ca"],
];

const WRITES: readonly (readonly [string, string])[] = [
  ...[["PUT", "/v1/network"], ["DELETE", "/v1/nodes/id1"], ["POST", "/v1/leave"]] as const,
  ["POST", "/v1/hold/release"],
  ...[["PUT", "/v1/reservations/10.5.9.0-24"], ["DELETE", "/v1/reservations/x"]] as const,
  ["POST", "/v1/nodes/id1/move"],
  ...[["PUT", "/v1/nodes/id1/preferred"], ["PUT", "/v1/voters"]] as const,
  ...[["POST", "/v1/levels/finalize"], ["POST", "/v1/ca/rotate"], ["POST", "/v1/backup"]] as const,
  ...[["POST", "/v1/tokens"], ["DELETE", "/v1/tokens/x"]] as const,
];

t.test("what can be read can be read on the socket and on the port", async (t) => {
  for (const rights of ["all", "read"] as const) {
    const { ask } = api(rights);
    for (const path of READS) t.equal((await ask(path)).status, 200, `${rights} ${path}`);
    t.equal((await ask("/livez", { method: "HEAD" })).status, 200);
  }
});

t.test("an open port writes nothing, and knows no tokens", async (t) => {
  const { ask, service } = api("read");
  for (const [method, path] of WRITES) {
    const answer = await ask(path, { method, body: "{}", headers: { "if-match": "*" } });
    t.same([answer.status, await codeOf(answer)], [403, "READ_ONLY"], `${method} ${path}`);
  }
  t.equal((await ask("/v1/tokens")).status, 404);
  t.same(service.calls, []);
});

t.test("an open port has no name but those that mean this host", async (t) => {
  const { ask } = api("read");
  for (const host of ["localhost", "localhost:7475", "127.0.0.1:7475", "[::1]:7475", "10.0.0.1"]) {
    t.equal((await ask("/livez", { headers: { host } })).status, 200, host);
  }
  for (
    const host of ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:7475"]
  ) {
    const answer = await ask("/v1/nodes", { headers: { host } });
    t.same([answer.status, await codeOf(answer)], [403, "HOST_NOT_ALLOWED"], host);
  }
  const socket = api("all");
  t.equal((await socket.ask("/livez", { headers: { host: "anything" } })).status, 200);
});

t.test("no page elsewhere may read an answer", async (t) => {
  const { ask } = api("read");
  const answer = await ask("/v1/nodes", { headers: { origin: "https://evil.example" } });
  t.equal(answer.headers.get("access-control-allow-origin"), null);
});

t.test("a problem says what, why, fix and code in the form of RFC 9457", async (t) => {
  const { ask } = api();
  const answer = await ask("/v1/nodes/far/routes");
  t.equal(answer.status, 503);
  t.equal(answer.headers.get("content-type"), "application/problem+json");
  t.same(await answer.json(), {
    type: "urn:denim:error:PEER_UNREACHABLE",
    title: "far is not connected",
    status: 503,
    instance: "/v1/nodes/far/routes",
    code: "PEER_UNREACHABLE",
  });
});

t.test("a mistake in the program is a 500 that says little, and a line in the log", async (t) => {
  const { ask, service, logger } = api();
  service.raft = () => {
    throw new Error("boom");
  };
  const answer = await ask("/v1/raft");
  t.same([answer.status, await codeOf(answer)], [500, "INTERNAL"]);
  t.ok(logger.lines.some((line) => /^error .*path=\/v1\/raft.*boom/.test(line)));
});

t.test("what is not there is told from what is asked for in the wrong way", async (t) => {
  const { ask } = api();
  for (const path of ["/v2", "/v1/nothing", "/v1/nodes/id9", "/v1/leases/10.9.9.0-24"]) {
    const answer = await ask(path);
    t.same([answer.status, await codeOf(answer)], [404, "NOT_FOUND"], path);
  }
  const wrong = await ask("/v1/leases", { method: "POST" });
  t.same([wrong.status, ((await wrong.json()) as { detail: string }).detail], [
    405,
    "it takes GET",
  ]);
  t.equal((await ask("/v1/network", { method: "DELETE" })).status, 405);
});

t.test("an unknown parameter is not ignored", async (t) => {
  const { ask } = api();
  for (const path of READS.filter((path) => path.startsWith("/v1"))) {
    const answer = await ask(`${path}?colour=red`);
    t.same([answer.status, await codeOf(answer)], [400, "REQUEST_INVALID"], path);
  }
  const network = await ask("/v1/network?consistent=true");
  t.match(((await network.json()) as { detail: string }).detail, /consistency/);
  t.equal((await ask("/v1/nodes?consistency=maybe")).status, 400);
  t.equal((await ask("/v1/events?since=yesterday")).status, 400);
});

t.test("how old an answer may be is the asker's choice", async (t) => {
  const { ask, service } = api();
  for (const path of ["/v1/network", "/v1/leases", "/v1/nodes"]) {
    await ask(path);
    await ask(`${path}?consistency=linearizable`);
  }
  t.same(
    service.calls,
    ["network", "leases", "nodes"].flatMap((name) => [
      `${name} stale`,
      `${name} linearizable`,
    ]),
  );
});

t.test("an answer says which state it comes from, and how old that may be", async (t) => {
  const { ask, service } = api();
  for (const path of ["/v1/network", "/v1/leases", "/v1/nodes"]) {
    const { headers } = await ask(path);
    t.equal(headers.get("denim-revision"), String(service.cluster.view().position.revision));
    t.match(headers.get("denim-stale-ms") ?? "", /^\d+$/);
  }
  t.equal((await ask("/v1/nodes/nobody")).headers.get("denim-revision"), null);
});

t.test("the network is changed only by who says which one he means", async (t) => {
  const { ask, service } = api();
  const shown = await ask("/v1/network");
  t.equal(shown.headers.get("etag"), '"4"');
  const json = await shown.json() as Record<string, unknown>;
  t.same([json["revision"], json["warnings"]], ["4", ["careful"]]);
  const put = (ifMatch: string | undefined) =>
    ask("/v1/network", {
      method: "PUT",
      body: "{}",
      headers: ifMatch === undefined ? {} : { "if-match": ifMatch },
    });
  const without = await put(undefined);
  t.same([without.status, await codeOf(without)], [428, "REVISION_REQUIRED"]);
  t.equal((await put("4")).status, 428, "an ETag has quotes");
  t.same(service.calls.filter((call) => call.startsWith("set")), []);
  const late = await put('"3"');
  t.same([late.status, await codeOf(late)], [412, "REVISION_MISMATCH"]);
  const done = await put('"4"');
  t.same([done.status, done.headers.get("etag")], [200, '"5"']);
  t.equal((await put("*")).status, 200);
});

t.test("leases are found by node and by an address inside", async (t) => {
  const { ask } = api();
  const subnets = async (query: string) =>
    ((await (await ask(`/v1/leases${query}`)).json()) as { items: { subnet: string }[] }).items
      .map(({ subnet }) => subnet);
  t.same(await subnets(""), ["10.5.1.0/24", "10.5.2.0/24"]);
  t.same(await subnets("?node=host1"), ["10.5.2.0/24"]);
  t.same(await subnets("?node=id0"), ["10.5.1.0/24"]);
  t.same(await subnets("?contains=10.5.2.7"), ["10.5.2.0/24"]);
  t.same(await subnets("?contains=10.9.0.1"), []);
  t.equal((await ask("/v1/leases?contains=here")).status, 400);
  const one = await (await ask("/v1/leases/10.5.2.0-24")).json() as Record<string, unknown>;
  t.same([one["nodeName"], one["revision"]], ["host1", "4"]);
});

t.test("ready is 200 and not ready 503, each with its checks; alive is alive", async (t) => {
  const { ask, service } = api("read");
  const ready = await ask("/readyz");
  t.same([ready.status, await ready.text()], [200, "ok   lease\nok   routes\nready\n"]);
  const checks = [{ name: "lease", ok: false, why: "nobody leads" }];
  service.view = { ...STATUS, ready: false, checks };
  const not = await ask("/readyz");
  t.same([not.status, await not.text()], [503, "FAIL lease: nobody leads\nnot ready\n"]);
  t.equal(await (await ask("/livez")).text(), "ok\n");
  const metrics = await ask("/metrics");
  t.match(metrics.headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
  t.equal(await metrics.text(), "denim_ready 1\n");
});

t.test("the answer says with which rights it was given", async (t) => {
  for (const rights of ["all", "read"] as const) {
    const self = await (await api(rights).ask("/v1/self")).json() as { rights: string };
    t.equal(self.rights, rights);
  }
});

t.test("a token is made as it was asked for, and its request is read strictly", async (t) => {
  const { ask, service } = api();
  const make = (body: string) => ask("/v1/tokens", { method: "POST", body });
  const made = await make('{"uses":null,"ttlMs":60000,"role":"agent","name":"ci"}');
  t.equal(made.status, 201);
  t.equal(((await made.json()) as { token: string }).token, SECRET);
  await make("{}");
  const asked = service.calls.map((call) => JSON.parse(call.replace(/^token /, "")) as unknown);
  t.same(asked, [
    { uses: null, ttlMs: 60_000, role: "agent", name: "ci" },
    { role: "server", uses: 1, ttlMs: 3_600_000 },
  ]);
  for (const body of ["", "[]", '{"uses":0}', '{"uses":1.5}', '{"role":"king"}', '{"ttl":"1h"}']) {
    const answer = await make(body);
    t.same([answer.status, await codeOf(answer)], [400, "REQUEST_INVALID"], body);
  }
  const endless = await make('{"ttlMs":8640000000000000}');
  t.same([endless.status, await codeOf(endless)], [400, "REQUEST_INVALID"], "no date is so late");
  const listed = await (await ask("/v1/tokens")).text();
  t.notOk(listed.includes(SECRET));
  t.same(await (await ask("/v1/tokens/abcd1234", { method: "DELETE" })).json(), {
    revoked: "abcd1234",
  });
});

t.test("a hold is ended, and what is known of it is in the health of the node", async (t) => {
  const { ask, service } = api();
  const ended = await ask("/v1/hold/release", { method: "POST" });
  t.same(await ended.json(), { claimed: 2, unclaimed: 1 });
  t.same(service.calls, ["release hold"]);
  service.view = { ...STATUS, checks: [{ name: "hold", ok: true, why: "it was recovered" }] };
  const health = await ask("/readyz");
  t.same([health.status, await health.text()], [200, "ok   hold: it was recovered\nready\n"]);
});

t.test("nodes are put out, and this one leaves", async (t) => {
  const { ask, service } = api();
  t.same(await (await ask("/v1/nodes/host1", { method: "DELETE" })).json(), {
    id: "host1",
    name: "name of host1",
    wasServer: false,
  });
  t.same(await (await ask("/v1/leave", { method: "POST" })).json(), {
    ...{ subnets: ["10.5.1.0/24"], stays: [] },
  });
  await ask("/v1/nodes/host1?force=true", { method: "DELETE" });
  await ask("/v1/leave?keepLease=true", { method: "POST" });
  const unclear = await ask("/v1/leave?keepLease=1", { method: "POST" });
  t.same([unclear.status, await codeOf(unclear)], [400, "REQUEST_INVALID"]);
  t.same(service.calls, [
    "remove host1",
    "leave",
    "remove host1 by force",
    "leave, keeping",
  ]);
});

t.test("roles, voters and the feature level are changed by words that are looked at", async (t) => {
  const { ask, service } = api();
  const put = (path: string, body: unknown) =>
    ask(path, { method: "PUT", body: JSON.stringify(body) });
  for (const preferred of ["voter", "standby", null]) {
    const node = await (await put("/v1/nodes/host1/preferred", { preferred })).json();
    t.equal((node as { preferred: unknown }).preferred, preferred);
  }
  t.same(await (await put("/v1/voters", { voters: 5 })).json(), { voters: 5 });
  await ask("/v1/levels/finalize", { method: "POST" });
  const done = ["prefer host1 voter", "prefer host1 standby", "prefer host1 null", "voters 5"];
  t.same(service.calls.filter((call) => !call.startsWith("nodes")), [...done, "finalize"]);
  for (
    const [path, body] of [
      ["/v1/nodes/host1/preferred", { preferred: "king" }],
      ["/v1/nodes/host1/preferred", {}],
      ["/v1/voters", { voters: "5" }],
    ] as const
  ) {
    const answer = await put(path, body);
    t.same([answer.status, await codeOf(answer)], [400, "REQUEST_INVALID"], path);
  }
});

/** Reads server-sent events until `count` have come. */
async function events(answer: Response, count: number) {
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const found = () => text.split("\n\n").filter((block) => block.startsWith("event:"));
  while (found().length < count) {
    const { value, done } = await reader.read();
    if (done) break;
    text += value;
  }
  await reader.cancel();
  return found().map((block) => {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
    return { event: field("event"), id: field("id"), data: field("data")! };
  });
}

t.test(
  "events come as they happen, with ids that name a place in one history",
  { timeout: 300_000 },
  async (t) => {
    const { ask, service } = api();
    const answer = await ask("/v1/events");
    t.match(answer.headers.get("content-type")!, /^text\/event-stream/);
    const reading = events(answer, 2);
    await service.followed;
    service.cluster.apply({ kind: "node.join", tokenId: "open", node: joiner(2) });
    const found = await reading;
    const revision = service.position().revision.toString(16).padStart(16, "0");
    const last = found.find(({ id }) => id !== undefined)!;
    t.equal(last.id, `1.00000000000000aa-${revision}`);
    t.ok(found.map(({ event }) => event).includes("node.joined"));
    t.ok(found.map(({ event }) => event).includes("lease.granted"));
    t.notOk(found.some(({ data }) => /csrKey|secretHash/.test(data)));
  },
);

t.test("a reader resumes behind the event that it saw last, and starts anew elsewhere", {
  timeout: 300_000,
}, async (t) => {
  const { ask, service } = api();
  const id = (random: string) =>
    `1.${random}-${service.position().revision.toString(16).padStart(16, "0")}`;
  const seen = id("00000000000000aa");
  service.cluster.apply({ kind: "token.revoke", tokenId: "open" });
  for (const how of ["header", "query"]) {
    const answer = how === "header"
      ? await ask("/v1/events", { headers: { "last-event-id": seen } })
      : await ask(`/v1/events?since=${seen}`);
    t.same((await events(answer, 1)).map(({ event }) => event), ["token.revoked"], how);
  }
  const strange = await ask(`/v1/events?since=${id("00000000000000bb")}`);
  const [reset] = await events(strange, 1);
  t.equal(reset!.event, "reset");
  const { records } = JSON.parse(reset!.data) as { records: { table: string }[] };
  t.ok(records.some(({ table }) => table === "lease"));
});

t.test("who may join is not told on an open port", { timeout: 300_000 }, async (t) => {
  const { ask, service } = api("read");
  const { revision } = service.position();
  const since = `1.00000000000000aa-${(revision - 1).toString(16)}`;
  service.cluster.apply({ kind: "token.revoke", tokenId: "open" });
  service.cluster.apply({ kind: "node.leave", node: "id1" });
  const answer = await ask(`/v1/events?since=${since}`);
  const found = await events(answer, 2);
  t.notOk(found.some(({ event }) => event!.startsWith("token")));
  const strange = await ask("/v1/events?since=7.ab-1");
  t.notOk(/"table":"token"/.test((await events(strange, 1))[0]!.data));
});

t.test("a token's limits are passed on, and what contradicts itself is refused", async (t) => {
  const { ask, service } = api();
  const make = (body: object) => ask("/v1/tokens", { method: "POST", body: JSON.stringify(body) });
  const limits = { from: ["192.0.2.0/24", "::1/128"], subnet: "10.5.9.0/24", ephemeral: true };
  t.equal((await make(limits)).status, 201);
  const asked = JSON.parse(service.calls.at(-1)!.replace("token ", ""));
  t.same(asked, { role: "agent", uses: 1, ttlMs: 3_600_000, ...limits });
  for (
    const wrong of [
      ...[{ from: ["here"] }, { from: [] }, { from: "192.0.2.0/24" }, { subnet: "10.5.9.0" }],
      ...[{ ephemeral: true, role: "server" }, { ephemeral: "yes" }],
    ]
  ) {
    const answer = await make(wrong);
    t.same([answer.status, await codeOf(answer)], [400, "REQUEST_INVALID"], JSON.stringify(wrong));
  }
});

t.test("a subnet is set aside, given back, and given to a node that has another", async (t) => {
  const { ask, service } = api();
  const path = "/v1/reservations/10.5.9.0-24";
  const put = (body: object) => ask(path, { method: "PUT", body: JSON.stringify(body) });
  t.same(await (await put({ node: "db" })).json(), { subnet: "10.5.9.0/24" });
  await put({});
  await ask(path, { method: "DELETE" });
  const move = (body: object) =>
    ask("/v1/nodes/host1/move", { method: "POST", body: JSON.stringify(body) });
  t.same(await (await move({ subnet: "10.5.9.0/24" })).json(), {
    ...{ node: "id1", name: "host1", subnet: "10.5.9.0/24", from: ["10.5.2.0/24"] },
  });
  t.same(service.calls, [
    ...["reserve 10.5.9.0/24 db", "reserve 10.5.9.0/24 undefined", "release 10.5.9.0/24"],
    "move host1 10.5.9.0/24",
  ]);
  for (const answer of [await put({ nodes: "db" }), await put({ node: "" }), await move({})]) {
    t.same([answer.status, await codeOf(answer)], [400, "REQUEST_INVALID"]);
  }
});

t.test("the end of a token is told from its use", async (t) => {
  const { ask, service } = api();
  const answer = await ask("/v1/events");
  service.cluster.apply({ kind: "token.revoke", tokenId: "open" });
  const reader = answer.body!.getReader();
  let text = "";
  while (!text.includes("event: ")) text += new TextDecoder().decode((await reader.read()).value);
  await reader.cancel();
  t.match(text, /event: token\.revoked/);
  t.notOk(text.includes("secretHash"));
});
