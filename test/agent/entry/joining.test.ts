/** A host joins over TLS on loopback: both sides, with a cluster in memory behind the server. */
import { Buffer } from "node:buffer";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { admitJoiner, type JoinCommit } from "../../../src/agent/entry/admitting.ts";
import { joinCluster, type JoiningOptions } from "../../../src/agent/entry/joining.ts";
import { SecretThrottle } from "../../../src/agent/entry/secret-throttle.ts";
import { hex } from "../../../src/base/bytes.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { DenimError } from "../../../src/base/errors.ts";
import { seededRandom } from "../../../src/base/random.ts";
import type { CommandOf } from "../../../src/lease/command.ts";
import { IdentityFolder } from "../../../src/store/identity.ts";
import { Store } from "../../../src/store/store.ts";
import { openJoin } from "../../../src/transport/join-client.ts";
import { caPin, keyFits, readIdentity } from "../../../src/transport/certificate.ts";
import { csrKeyId } from "../../../src/transport/csr.ts";
import { createCsr, createKey } from "../../../src/transport/pki.ts";
import { createToken, encodeToken, hashSecret, type Token } from "../../../src/transport/token.ts";
import { FakeClock } from "../../support/clock.ts";
import { fastClock } from "../../support/fast-clock.ts";
import { openPort } from "../../support/cluster-port.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { attributes, initCommand } from "../../support/ledger.ts";
import { RecordingLogger } from "../../support/log.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { testCluster } from "../../support/pki.ts";
import { Authority } from "../../../src/agent/trust/authority.ts";

const { clusterId } = initCommand();
const pki = await testCluster(clusterId);
const clock = systemClock();
const random = seededRandom(3);
const HOUR_MS = 3_600_000;

class Desk {
  readonly memory = new MemoryCluster(fastClock(20));
  readonly log = new RecordingLogger();
  readonly stoodDown: string[] = [];
  readonly time = new FakeClock();
  readonly throttle = new SecretThrottle(this.time);
  readonly living: string[] = [];
  hasCaKey = true;
  /** Of the wall clock that tokens are judged by. */
  aheadMs = 0;
  address = "";

  static async open(t: Test): Promise<Desk> {
    const desk = new Desk();
    const parts = {
      ...{ cluster: desk.memory, random, logger: desk.log, throttle: desk.throttle },
      clock: { ...clock, wallMs: () => clock.wallMs() + desk.aheadMs },
      authority: new Authority({
        ...{ state: () => desk.memory.view().state, caBundle: pki.ca.certPem },
        caKeys: () => Promise.resolve(desk.hasCaKey ? pki.ca.keyPem : undefined),
        keepCaKeys: () => Promise.resolve(),
      }),
      standDown: (node: string) => Promise.resolve(void desk.stoodDown.push(node)),
      lives: (node: string) => Promise.resolve(desk.living.includes(node)),
    };
    const port = await openPort(t, pki, { onJoiner: (joiner) => admitJoiner(parts, joiner) });
    desk.address = port.address;
    return desk;
  }

  token(more: Partial<CommandOf<"token.create">> = {}): Token {
    const token = createToken(more.role ?? "agent", caPin(pki.ca.certPem), random);
    this.memory.apply({
      kind: "token.create",
      ...{ tokenId: token.id, secretHash: hashSecret(token.secret), role: token.role, uses: 1 },
      expiresWallMs: Math.floor(clock.wallMs()) + HOUR_MS,
      ...more,
    });
    return token;
  }

  usesLeft(token: Token): number | null | undefined {
    return this.memory.view().state.get("token", token.id)?.body.usesLeft;
  }

  get nodes(): string[] {
    return [...this.memory.view().state.all("node")].map(({ body }) => body.name);
  }
}

class Newcomer {
  readonly folder: string;
  readonly identity: IdentityFolder;
  readonly steps: string[] = [];
  opened = 0;

  constructor(t: Test) {
    this.folder = temporaryFolder(t);
    this.identity = new IdentityFolder(join(this.folder, "identity"));
  }

  async join(desk: Desk, token: Token | string, more: Partial<JoiningOptions> = {}) {
    return await joinCluster({
      identity: this.identity,
      openStore: () => {
        this.opened++;
        return Store.open(join(this.folder, "store"));
      },
      addresses: [desk.address],
      token: typeof token === "string" ? token : encodeToken(token),
      ...{ name: "web1", version: "0.1.0", wish: [], replace: undefined, clock, random },
      signal: new AbortController().signal,
      prepare: () => Promise.resolve({ attributes: attributes(1), address: "192.0.2.1:7470" }),
      onStep: (step) => this.steps.push(step),
      ...more,
    });
  }

  get files(): string[] {
    const path = join(this.folder, "identity");
    return existsSync(path) ? readdirSync(path).sort() : [];
  }
}

t.test("a host that joins has an identity, a store and a lease", async (t) => {
  const desk = await Desk.open(t);
  const token = desk.token({ role: "server" });
  const host = new Newcomer(t);
  const result = await host.join(desk, token, { wish: ["10.5.77.0/24"] });
  t.same(host.steps, ["proved", "checked", "accepted"]);
  t.same([result.name, result.role, result.lease.subnets], ["web1", "server", ["10.5.77.0/24"]]);
  t.equal(desk.usesLeft(token), 0);
  const record = (await host.identity.read("node"))!;
  t.same([record.nodeId, record.clusterId], [result.nodeId, clusterId]);
  const [key, cert] = [await host.identity.readPem("key"), await host.identity.readPem("cert")];
  t.ok(keyFits(key!, cert!));
  t.same([readIdentity(cert!).nodeId, readIdentity(cert!).canServe], [result.nodeId, true]);
  await using store = await Store.open(join(host.folder, "store"));
  t.equal(store.loaded.format?.raftId, result.raftId);
  const node = desk.memory.view().state.get("node", result.nodeId)!.body;
  t.same([store.loaded.format?.storeId, node.address], [node.storeId, "192.0.2.1:7470"]);
  t.equal(host.opened, 1);
  t.ok(desk.log.lines.some((line) => /a node joined node=web1/.test(line)));
});

t.test("an agent's token makes an agent", async (t) => {
  const desk = await Desk.open(t);
  const host = new Newcomer(t);
  const result = await host.join(desk, desk.token());
  t.same([result.role, result.raftId], ["agent", null]);
  t.equal(readIdentity(result.certificate).canServe, false);
});

t.test("a join whose answer was lost is repeated under its key, at no further cost", async (t) => {
  const desk = await Desk.open(t);
  const token = desk.token();
  const host = new Newcomer(t);
  desk.memory.loseAnswers();
  await t.rejects(host.join(desk, token), { code: "OUTCOME_UNKNOWN" });
  t.same(host.files, ["key.pem"], "the key is kept");
  t.equal(desk.usesLeft(token), 0);
  const result = await host.join(desk, token);
  t.equal(result.name, "web1");
  t.same(desk.nodes, ["host0", "web1"]);
  t.equal(desk.usesLeft(token), 0);
  const later = await host.join(desk, desk.token());
  t.equal(later.nodeId, result.nodeId, "also with another token");
});

t.test("also with a token that is used up, or has expired since; not with a revoked one", async (t) => {
  for (const end of ["expire", "revoke"] as const) {
    const desk = await Desk.open(t);
    const token = desk.token();
    const host = new Newcomer(t);
    desk.memory.loseAnswers();
    await t.rejects(host.join(desk, token), { code: "OUTCOME_UNKNOWN" });
    if (end === "revoke") {
      desk.memory.apply({ kind: "token.revoke", tokenId: token.id });
      await t.rejects(host.join(desk, token), { code: "TOKEN_REVOKED" });
      t.same(host.files, ["key.pem"]);
      continue;
    }
    desk.aheadMs = HOUR_MS;
    await t.rejects(new Newcomer(t).join(desk, token), { code: "TOKEN_EXPIRED" });
    t.equal((await host.join(desk, token)).name, "web1");
    t.same(desk.nodes, ["host0", "web1"]);
  }
});

t.test("a token may be for some addresses only, and say so", async (t) => {
  const desk = await Desk.open(t);
  const token = desk.token({ from: ["127.0.0.0/8"] });
  t.equal((await new Newcomer(t).join(desk, token)).name, "web1");
  const far = desk.token({ from: ["192.0.2.0/24", "2001:db8::/32"] });
  const host = new Newcomer(t);
  await t.rejects(host.join(desk, far), {
    code: "TOKEN_OUT_OF_RANGE",
    why: "this host was seen as 127.0.0.1, and the token lets in 192.0.2.0/24, 2001:db8::/32",
  });
  t.equal(desk.usesLeft(far), 1);
});

t.test("a token may bring a subnet, and make its host ephemeral", async (t) => {
  const desk = await Desk.open(t);
  const token = desk.token({ subnet: "10.5.40.0/24", ephemeral: true });
  const { nodeId, lease } = await new Newcomer(t).join(desk, token, { wish: ["10.5.50.0/24"] });
  t.same([lease.subnets, lease.ttlMs], [["10.5.40.0/24"], 600_000]);
  t.equal(desk.memory.view().state.get("node", nodeId)!.body.ephemeral, true);
});

t.test("ten wrong secrets a minute are heard, then nothing until the minute is over", async (t) => {
  const desk = await Desk.open(t);
  const right = desk.token();
  const wrong = { ...right, secret: random.bytes(16) };
  for (let n = 0; n < 10; n++) {
    await t.rejects(new Newcomer(t).join(desk, wrong), { code: "TOKEN_INVALID" });
  }
  for (const token of [wrong, right]) {
    await t.rejects(new Newcomer(t).join(desk, token), {
      code: "TOKEN_THROTTLED",
      message: "Too many wrong tokens came from 127.0.0.1",
    });
  }
  await desk.time.advance(60_000);
  t.equal((await new Newcomer(t).join(desk, right)).name, "web1");
});

t.test("what was granted is not lost with a full disk", async (t) => {
  const desk = await Desk.open(t);
  const host = new Newcomer(t);
  const openStore = () => Promise.reject(new DenimError("STORE_FAILED", "full"));
  await t.rejects(host.join(desk, desk.token(), { openStore }), { code: "STORE_FAILED" });
  t.ok(host.files.includes("key.pem") && !host.files.includes("node.json"));
  await host.join(desk, desk.token());
  t.same(desk.nodes, ["host0", "web1"]);
});

t.test("a token that is used, expired, revoked, wrong or misspelt lets nobody in", async (t) => {
  const desk = await Desk.open(t);
  const used = desk.token();
  await new Newcomer(t).join(desk, used, {
    prepare: () => Promise.resolve({ attributes: attributes(9), address: "192.0.2.9" }),
  });
  const revoked = desk.token();
  desk.memory.apply({ kind: "token.revoke", tokenId: revoked.id });
  const other = { ...desk.token(), secret: random.bytes(16) };
  const cases: readonly (readonly [Token | string, string, RegExp])[] = [
    [used, "TOKEN_USED", /token create/],
    [
      desk.token({ expiresWallMs: Math.floor(clock.wallMs()) - 1 }),
      "TOKEN_EXPIRED",
      /token create/,
    ],
    [revoked, "TOKEN_REVOKED", /token create/],
    [other, "TOKEN_INVALID", /copy the whole token/],
    [createToken("agent", other.caPin, random), "TOKEN_UNKNOWN", /token create/],
    [desk.token({ from: ["192.0.2.0/24", "::1/128"] }), "TOKEN_OUT_OF_RANGE", /--from/],
    [encodeToken(used).slice(0, -1), "TOKEN_MALFORMED", /copy the whole token/],
    [createToken("agent", random.bytes(20), random), "JOIN_CA_MISMATCH", /token create/],
  ];
  const before = desk.nodes;
  for (const [token, code, fix] of cases) {
    const host = new Newcomer(t);
    await t.rejects(host.join(desk, token), { code, fix });
    t.same([host.files, host.opened], [[], 0], `nothing is left: ${code}`);
    t.notOk(existsSync(join(host.folder, "store")));
  }
  t.same(desk.nodes, before);
});

t.test("what this host's own checks refuse costs nothing", async (t) => {
  const desk = await Desk.open(t);
  const token = desk.token();
  const host = new Newcomer(t);
  const prepare = () => Promise.reject(new DenimError("NETWORK_OVERLAP", "no"));
  await t.rejects(host.join(desk, token, { prepare }), { code: "NETWORK_OVERLAP" });
  t.same(host.files, []);
  t.equal(desk.usesLeft(token), 1);
});

t.test("what the cluster refuses leaves the host as it was, and the token too", async (t) => {
  const desk = await Desk.open(t);
  const token = desk.token();
  const host = new Newcomer(t);
  const taken = () => Promise.resolve({ attributes: attributes(0), address: "192.0.2.1" });
  await t.rejects(host.join(desk, token, { prepare: taken }), { code: "PUBLIC_IP_TAKEN" });
  await t.rejects(host.join(desk, token, { name: "not a name" }), {
    code: "REQUEST_INVALID",
    why: /letters, digits/,
  });
  t.same(host.files, []);
  t.equal(desk.usesLeft(token), 1);
  t.equal((await host.join(desk, token)).name, "web1");
});

t.test("a server that cannot sign sends the joiner on before anything happens", async (t) => {
  const [first, second] = [await Desk.open(t), await Desk.open(t)];
  first.hasCaKey = false;
  const token = first.token();
  const host = new Newcomer(t);
  await t.rejects(host.join(first, token), { code: "JOIN_REFUSED", fix: /denim node list/ });
  t.equal(first.usesLeft(token), 1);
  const addresses = ["127.0.0.1:1", second.address];
  t.equal((await host.join(second, second.token(), { addresses })).name, "web1");
});

t.test("a name that is taken gets a number, and a place can be taken over", async (t) => {
  const desk = await Desk.open(t);
  const at = (n: number) => ({
    prepare: () => Promise.resolve({ attributes: attributes(n), address: `192.0.2.${n}` }),
  });
  t.equal((await new Newcomer(t).join(desk, desk.token(), at(1))).name, "web1");
  t.equal((await new Newcomer(t).join(desk, desk.token(), at(2))).name, "web1-2");
  const third = { ...at(2), replace: "web1-2", name: "web3" };
  t.equal((await new Newcomer(t).join(desk, desk.token(), third)).name, "web3");
  t.same(desk.nodes, ["host0", "web1", "web3"]);
});

t.test("nobody takes the place of a node that is there", async (t) => {
  const desk = await Desk.open(t);
  const token = desk.token();
  desk.living.push("id0");
  const asks = new Newcomer(t).join(desk, token, { replace: "host0" });
  await t.rejects(asks, { code: "JOIN_REFUSED", fix: /denim node rm --force host0/ });
  t.same([desk.nodes, desk.stoodDown, desk.usesLeft(token)], [["host0"], [], 1]);
});

t.test("a token that lets nobody in costs the group no member", async (t) => {
  const desk = await Desk.open(t);
  const host = new Newcomer(t);
  await host.join(desk, desk.token());
  // The key of a member is no secret: with it a token that has ended gets as far as the checks.
  const csrKey = csrKeyId(await createCsr((await host.identity.readPem("key"))!));
  const ended = desk.token({ expiresWallMs: Math.floor(clock.wallMs()) - 1 });
  const toReturn = desk.token({ node: "id0" });
  for (const [token, code] of [[ended, "TOKEN_EXPIRED"], [toReturn, "TOKEN_INVALID"]] as const) {
    await using session = await stranger(desk, token);
    await session.begin({ tokenId: token.id, secret: hex(token.secret), csrKey }, 5_000);
    const body = await commitBody({ replace: "host0", ...attributes(7) });
    await t.rejects(session.commit(body, 5_000), { code });
  }
  t.same([desk.nodes, desk.stoodDown], [["host0", "web1"], []]);
});

/** A joiner who does not keep to the rules. */
async function stranger(desk: Desk, token: Token) {
  const hello = { wants: "join", version: "0", protocol: { min: 1, max: 1 } } as const;
  return await openJoin(desk.address, { clock, timeoutMs: 5_000, caPin: token.caPin, hello });
}

async function commitBody(more: Partial<JoinCommit> = {}): Promise<JoinCommit> {
  const csr = await createCsr(await createKey());
  const about = {
    name: "web1",
    address: "192.0.2.1",
    storeId: "s",
    version: "0",
    features: { min: 1, max: 1 },
  };
  return { csr, ...about, ...attributes(1), ...more };
}

t.test("nobody speaks for a key that he does not hold", async (t) => {
  const desk = await Desk.open(t);
  const host = new Newcomer(t);
  const { nodeId } = await host.join(desk, desk.token());
  const key = (await host.identity.readPem("key"))!;
  const lines = (await createCsr(key)).trim().split("\n");
  // The last bytes of a request are its signature.
  const body = Buffer.from(lines.slice(1, -1).join(""), "base64");
  body[body.length - 1]! ^= 1;
  const csr = [lines[0], body.toString("base64"), lines.at(-1), ""].join("\n");
  const token = desk.token();
  await using session = await stranger(desk, token);
  await session.begin({ tokenId: token.id, secret: hex(token.secret) });
  const forged = await commitBody({ csr, ...attributes(66) });
  await t.rejects(session.commit(forged), { code: "REQUEST_INVALID", why: /signature/ });
  t.equal(desk.usesLeft(token), 1);
  const lease = desk.memory.view().state.find("leaseByNode", nodeId)[0]!;
  t.equal(lease.body.publicIp, attributes(1).publicIp, "the other's lease is what it was");
});

t.test("a request that cannot be read is refused with the part that is wrong", async (t) => {
  const desk = await Desk.open(t);
  const token = desk.token();
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ publicIp: "somewhere" }, /publicIp/],
    [{ address: "no such: thing" }, /address/],
    [{ backendData: "{" }, /backendData/],
    [{ name: "a\u001bb" }, /name/],
    [{ csr: "none" }, /cannot be read/],
  ];
  for (const [more, why] of cases) {
    await using session = await stranger(desk, token);
    await session.begin({ tokenId: token.id, secret: hex(token.secret) });
    await t.rejects(session.commit(await commitBody(more)), { code: "REQUEST_INVALID", why });
  }
  await using session = await stranger(desk, token);
  await t.rejects(session.begin({ tokenId: token.id, secret: "zz" }), { code: "REQUEST_INVALID" });
  t.equal(desk.usesLeft(token), 1);
});

t.test("while nobody leads a joiner hears that, and keeps its token", async (t) => {
  const desk = await Desk.open(t);
  const token = desk.token();
  const host = new Newcomer(t);
  const prepare = () => {
    desk.memory.loseLeader();
    return Promise.resolve({ attributes: attributes(1), address: "192.0.2.1" });
  };
  await t.rejects(host.join(desk, token, { prepare }), { code: "NO_LEADER" });
  t.same(host.files, []);
  desk.memory.findLeader();
  await host.join(desk, token);
});
