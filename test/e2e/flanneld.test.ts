/** Denim where flannel was: the handbook's environment, on hosts with more than one interface. */
import { readFileSync } from "node:fs";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ipBatch, runProgram } from "../../src/cli/lab/ip.ts";
import {
  cannotLab,
  eventually,
  found,
  makeLab,
  makeToken,
  onNode,
  runInside,
  untilReady,
} from "../support/lab.ts";

/** `/etc/sysconfig/flanneld` of the page. */
const ENVIRONMENT = {
  FLANNEL_ETCD_ENDPOINTS: "http://172.17.8.101:2379",
  FLANNEL_ETCD_PREFIX: "/kube-centos/network",
  FLANNEL_OPTIONS: "-iface=eth2",
};

interface Self {
  readonly cluster: unknown;
  readonly dataPlane: { readonly link: string; readonly publicIp: string; readonly rules: [] };
}

/** What a program inside of the host gets from etcd's port. */
async function etcd(host: Host, path: string): Promise<string> {
  const code = `fetch("http://127.0.0.1:2379${path}").then((a) => a.text()).then(console.log)`;
  const words = ["netns", "exec", host.namespace, onNode[0]!, "-e", code];
  return (await runProgram("ip", words, { timeoutMs: 90_000 })).out;
}

t.test("a host of the handbook starts with the same words", {
  skip: cannotLab,
  timeout: 600_000,
}, async (t) => {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
  for (const [number, host] of [a, b].entries()) {
    await lab.lay(host, "eth2");
    const address = `198.51.100.${number + 1}/24`;
    await ipBatch([`addr add ${address} dev eth2`, "link set eth2 up"], host.namespace);
  }

  await t.test("in no cluster it waits, and says what to type", async (t) => {
    const daemon = await b.startDaemon(onNode, ["flanneld"], ENVIRONMENT);
    const log = await eventually("it says so", async () => {
      const text = daemon.logTail(20).join("\n");
      return text.includes("in no cluster") ? text : undefined;
    });
    t.match(log, /FLANNEL_ETCD_ENDPOINTS has no effect/);
    t.match(log, /denim join HOST/);
    t.match(await etcd(b, "/v2/keys"), /"errorCode":300.*in no cluster/);
    t.equal(await daemon.stop(), 130, "it was interrupted while it waited");
  });

  await t.test("in one it goes on, by the interface that the options name", async (t) => {
    await found(a, onNode, '{"Network":"172.33.0.0/16","Backend":{"Type":"host-gw"}}');
    const token = await makeToken(a);
    await a.daemon!.stop();
    await a.startDaemon(onNode, ["flanneld"], ENVIRONMENT);
    const words = ["flanneld", `-join=${a.address}`];
    await b.startDaemon(onNode, words, { ...ENVIRONMENT, DENIM_TOKEN: token });
    await untilReady([a, b]);
    for (const [number, host] of [a, b].entries()) {
      const { dataPlane } = await host.get("/v1/self") as Self;
      t.same([dataPlane.link, dataPlane.publicIp], ["eth2", `198.51.100.${number + 1}`]);
    }
  });

  await t.test("with flannel's defaults: nothing is masqueraded", async (t) => {
    t.match(readFileSync(b.subnetFile, "utf8"), /^FLANNEL_MTU=1500\nFLANNEL_IPMASQ=false$/m);
    t.same((await b.get("/v1/self") as Self).dataPlane.rules, []);
  });

  await t.test("and with flannel's keys, where etcd would have them", async (t) => {
    const { node } = JSON.parse(await etcd(b, "/v2/keys/kube-centos/network/subnets"));
    t.equal(node.nodes.length, 2);
    t.ok(node.nodes.some(({ value }: { value: string }) => value.includes("198.51.100.2")));
  });

  await t.test("what is refused is refused before anything is made", async (t) => {
    const { status, err } = await runInside(a, ["flanneld", "-kube-subnet-mgr"], ENVIRONMENT);
    t.equal(status, 2);
    t.match(err, /^error: Denim does not take -kube-subnet-mgr\n {2}why [^]*code {2}USAGE\n$/);
  });
});
