/** Joining with tokens of every kind, by real daemons: what is printed, and what is refused. */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { seededRandom } from "../../src/base/random.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import { decodeToken, encodeToken } from "../../src/transport/token.ts";
import {
  cannotLab,
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  onNode,
  runInside,
  subnetOf,
} from "../support/lab.ts";
import { knownOf, refused } from "../support/refusal.ts";

const options = { skip: cannotLab, timeout: 600_000 };

/** The last lines of a command that goes on as the daemon, once it has said `words`. */
async function saidBy(host: Host, words: RegExp): Promise<string> {
  return await eventually(`${host.name} says ${words}`, () => {
    const text = readFileSync(host.logFile, "utf8");
    return Promise.resolve(words.test(text) ? text : undefined);
  });
}

/** Ids, names and subnets. */
async function nodesOf(host: Host): Promise<readonly { readonly name: string }[]> {
  const { items } = await host.get("/v1/nodes") as {
    items: { id: string; name: string; subnets: readonly string[] }[];
  };
  return items.map(({ id, name, subnets }) => ({ id, name, subnets }));
}

async function tokensOf(host: Host): Promise<unknown> {
  return await host.ask(onNode, ["token", "list"]);
}

t.test("what a token is for, and what is said of one that is for nothing", options, async (t) => {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
  const [c, d, other] = [
    await lab.addHost("c"),
    await lab.addHost("d"),
    await lab.addHost("other"),
  ];
  await Promise.all([found(a, onNode), found(other, onNode, "10.99.0.0/16")]);

  let token = "";
  await t.test("the line that init prints last brings in the next host", async (t) => {
    const text = await saidBy(a, /denim status/);
    const [, server, word] = /\n +denim join (\S+)\n +token: (denim1_\S{71})\n/.exec(text)!;
    t.equal(server, a.address);
    token = word!;
    await joinBy(b, onNode, a, token);
    const farewell = await saidBy(b, /Look around/);
    t.match(farewell, /b is in \([a-z]+\)\.\n +Two servers so far: with one more/);
    t.match(farewell, /Look around: +denim status\n +Next host: +denim token create/);
  });

  await t.test("each that lets nobody in says why, and changes nothing", async (t) => {
    const create = async (...words: string[]) =>
      await a.ask(onNode, ["token", "create", ...words]) as { token: string; id: string };
    const revoked = await create();
    await a.ask(onNode, ["token", "revoke", revoked.id]);
    const expired = await create("--ttl", "1s");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const far = await create("--from", "198.51.100.0/24", "--from", "2001:db8::/32");
    const good = decodeToken(far.token);
    const random = seededRandom(1);
    const wrong = encodeToken({ ...good, secret: random.bytes(16) });
    const unknown = encodeToken({ ...good, id: "00000000" });
    const before = [await knownOf(a), await tokensOf(a)];
    const cases: readonly (readonly [string, string, number, string, RegExp])[] = [
      ["cut", token.slice(0, -3), 2, "TOKEN_MALFORMED", /75 of 78/],
      ["misspelt", misspell(token), 2, "TOKEN_MALFORMED", /checksum/],
      ["another cluster's", await makeToken(other), 4, "JOIN_CA_MISMATCH", /192\.0\.2\.1/],
      ["used", token, 4, "TOKEN_USED", /used up[^]*denim token create/],
      ["expired", expired.token, 4, "TOKEN_EXPIRED", /it was good until 20/],
      ["revoked", revoked.token, 4, "TOKEN_REVOKED", /somebody ended it on 20/],
      ["with a wrong secret", wrong, 4, "TOKEN_INVALID", /secret[^]*wrong/],
      ["unknown", unknown, 4, "TOKEN_UNKNOWN", /does not know this token/],
      [
        "out of range",
        far.token,
        4,
        "TOKEN_OUT_OF_RANGE",
        /seen as 192\.0\.2\.3, and the token lets in 198\.51\.100\.0\/24, 2001:db8::\/32/,
      ],
    ];
    for (const [name, text, status, code, words] of cases) {
      const said = await refused(t, c, ["join", a.address, "--foreground"], { DENIM_TOKEN: text });
      t.same([said.status, said.code], [status, code], name);
      t.match(said.err, words);
      t.notOk(said.err.includes(text.slice(-20)), "the secret is not repeated");
    }
    t.same([await knownOf(a), await tokensOf(a)], before);
  });

  await t.test("a host that could not keep the answer asks again, and is who it is", async (t) => {
    const once = await makeToken(a, 1);
    const inTheWay = join(c.stateDir, "identity", "cert.pem");
    mkdirSync(inTheWay, { recursive: true });
    const words = ["join", a.address, "--foreground"];
    t.not((await runInside(c, words, { DENIM_TOKEN: once })).status, 0);
    t.ok(existsSync(join(c.stateDir, "identity", "key.pem")), "its key is there");
    const before = [await nodesOf(a), await tokensOf(a)] as const;
    t.ok(before[0]!.some(({ name }) => name === "c"), "and it is a member");
    rmSync(inTheWay, { recursive: true });
    await joinBy(c, onNode, a, once);
    t.same([await nodesOf(a), await tokensOf(a)], before, "with a token that is used up");
  });

  await t.test("a subnet is kept for the joiner, and an ephemeral one is an agent", async (t) => {
    const limits = ["--subnet", "10.244.77.0/24", "--from", "192.0.2.0/24", "--ephemeral"];
    const made = await makeToken(a, 1, limits);
    await joinBy(d, onNode, a, made);
    t.equal(await subnetOf(d), "10.244.77.0/24");
    const { role } = await d.get("/v1/self") as { role: string };
    t.equal(role, "agent");
    const { items } = await a.get("/v1/leases") as {
      items: { subnet: string; expiresInMs: number }[];
    };
    const { expiresInMs } = items.find(({ subnet }) => subnet === "10.244.77.0/24")!;
    t.ok(expiresInMs <= 600_000, `${expiresInMs} ms`);
  });
});

function misspell(token: string): string {
  const at = 40;
  return token.slice(0, at) + (token[at] === "0" ? "1" : "0") + token.slice(at + 1);
}
