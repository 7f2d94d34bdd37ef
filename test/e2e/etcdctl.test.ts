/** What the handbook's page types at etcd, typed at Denim: Debian's etcdctl against real daemons. */
import process from "node:process";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { runProgram } from "../../src/cli/lab/ip.ts";
import { cannotEtcdctl } from "../support/etcd.ts";
import {
  cannotLab,
  eventually,
  joinBy,
  makeLab,
  makeToken,
  onNode,
  subnetOf,
  untilReady,
  untilRouted,
} from "../support/lab.ts";

const CONFIG = '{"Network":"172.33.0.0/16","SubnetLen":24,"Backend":{"Type":"host-gw"}}';
const PREFIX = "/kube-centos/network";
const FACE = ["--etcd-listen", "127.0.0.1:2379", "--etcd-prefix", PREFIX];

/** No address is given: etcdctl looks where etcd would be. */
async function etcdctl(host: Host, line: string) {
  const words = ["netns", "exec", host.namespace, "etcdctl", ...line.split(" ")];
  const env = { PATH: process.env["PATH"], ETCDCTL_API: "2" };
  return await runProgram("ip", words, { env, timeoutMs: 90_000 });
}

async function said(host: Host, line: string): Promise<string> {
  const { status, out, err } = await etcdctl(host, line);
  if (status !== 0) throw new Error(`etcdctl ${line} ended with ${status}: ${err}`);
  return out;
}

t.test("etcdctl prints what the page prints", {
  skip: cannotLab || cannotEtcdctl,
  timeout: 600_000,
}, async (t) => {
  const lab = await makeLab(t);
  const [a, b, c] = [await lab.addHost("a"), await lab.addHost("b"), await lab.addHost("c")];
  await a.startDaemon(onNode, ["init", "--network", CONFIG, "--foreground", ...FACE]);
  await untilReady([a]);
  // Agents: there is one member, which leads.
  const token = await makeToken(a, 5, ["--role", "agent"]);
  for (const host of [b, c]) await joinBy(host, onNode, a, token);
  await untilRouted([a, b, c]);
  const keyOf = async (host: Host) =>
    `${PREFIX}/subnets/${(await subnetOf(host)).replace("/", "-")}`;
  const keys = [await keyOf(a), await keyOf(b), await keyOf(c)].sort();

  await t.test("ls and get, as on the page", async (t) => {
    t.same((await said(a, `ls ${PREFIX}/subnets`)).trimEnd().split("\n").sort(), keys);
    t.equal(await said(a, `get ${PREFIX}/config`), `${CONFIG}\n`);
    t.equal(
      await said(a, `get ${await keyOf(b)}`),
      `{"PublicIP":"${b.address}","BackendType":"host-gw"}\n`,
    );
  });

  await t.test("the other ways to look", async (t) => {
    t.equal(
      await said(a, "ls --recursive --sort -p /"),
      ["/kube-centos/", `${PREFIX}/`, `${PREFIX}/config`, `${PREFIX}/subnets/`, ...keys, ""]
        .join("\n"),
    );
    t.equal(await said(a, `get --quorum ${PREFIX}/config`), `${CONFIG}\n`);
    t.match(await said(a, `-o extended get ${await keyOf(c)}`), /\nTTL: 86\d{3}\n/);
    const own = "http://127\\.0\\.0\\.1:2379";
    t.match(await said(a, "member list"), new RegExp(`name=a .*clientURLs=${own} isLeader=true`));
    t.match(await said(a, "cluster-health"), new RegExp(`healthy result from ${own}`));
  });

  await t.test("what is not there, and what is not done", async (t) => {
    const missing = await etcdctl(a, `get ${PREFIX}/subnets/172.33.99.0-24`);
    t.match(missing.err, /^Error: +100: Key not found \(.*99\.0-24\) \[\d+\]\n$/);
    t.equal(missing.status, 4);
    t.match((await etcdctl(a, `get ${PREFIX}`)).err, /is a directory/);
    for (const write of [`set ${PREFIX}/config x`, `rm ${await keyOf(b)}`, `mkdir ${PREFIX}/x`]) {
      const { status, err } = await etcdctl(a, write);
      t.match(err, /107: Root is read only \(.*denim network set/, write);
      t.equal(status, 4, write);
    }
    t.equal(await said(a, `get ${PREFIX}/config`), `${CONFIG}\n`);
  });

  await t.test("a host that leaves is gone from the list", async (t) => {
    const gone = await keyOf(c);
    await runProgram(onNode[0]!, [...onNode.slice(1), "leave", "--yes", "--socket", c.socketPath]);
    await eventually("the key is gone", async () => {
      return (await said(a, `ls ${PREFIX}/subnets`)).includes(gone) ? undefined : true;
    });
    t.equal((await etcdctl(a, `get ${gone}`)).status, 4);
  });
});
