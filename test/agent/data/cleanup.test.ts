import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { describeMarks, findMarks, removeMarks } from "../../../src/agent/data/cleanup.ts";
import { parseAddress } from "../../../src/ip/address.ts";
import { renderConflist } from "../../../src/host/cni/conflist.ts";
import { parsePrefix, type Prefix } from "../../../src/ip/prefix.ts";
import { MemoryKernel } from "../../../src/kernel/memory-kernel.ts";
import { MemoryPacketFilter } from "../../../src/kernel/memory-packet-filter.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { forwarding, vxlan } from "../../support/links.ts";
import { route } from "../../support/routes.ts";

const OURS = parsePrefix("10.42.0.0/16");

/** A host with a link of this network and of another, one begun, and somebody else's. */
async function host() {
  const kernel = new MemoryKernel();
  kernel.addLink("eth0", { addresses: [{ address: parseAddress("10.0.0.1"), length: 24 }] });
  const other = vxlan({ name: "denim.2", vni: 2, network: parsePrefix("10.99.0.0/16") });
  await kernel.apply([
    { kind: "add", item: vxlan() },
    { kind: "add", item: forwarding("02:00:00:00:00:02", "10.0.0.2") },
    { kind: "add", item: route("10.42.2.0/24", undefined, "denim.1") },
    { kind: "add", item: other },
  ]);
  const mac = "02:00:00:00:00:99";
  kernel.putLink("denim.3", { detail: { mac, group: 68, alias: "" } });
  kernel.putLink("denim.4", { detail: { mac, group: 0, alias: "denim:10.42.0.0/16" } });
  return { kernel, filter: new MemoryPacketFilter() };
}

async function marksOf(
  { kernel, filter }: Awaited<ReturnType<typeof host>>,
  networks: readonly Prefix[] | "any",
  { subnetFile = "/nowhere", conflist = "/nowhere" } = {},
) {
  return await findMarks({ kernel, filter, networks, subnetFile, conflist });
}

const namesOf = (kernel: MemoryKernel) =>
  ["eth0", "denim.1", "denim.2", "denim.3", "denim.4"].filter((name) => kernel.link(name));

t.test("a network's routes and links are removed, others' are named and stay", async (t) => {
  const at = await host();
  const marks = await marksOf(at, [OURS]);
  t.same(describeMarks(marks), [
    "ip route del 10.42.2.0/24 dev denim.1 proto 68",
    "ip link del denim.1",
  ]);
  t.same(marks.elsewhere, ["link denim.2 of 10.99.0.0/16", "link denim.3 of no network yet"]);
  await removeMarks(at, marks);
  t.same(namesOf(at.kernel), ["eth0", "denim.2", "denim.3", "denim.4"]);
  t.same(describeMarks(await marksOf(at, [OURS])), []);
});

t.test("of any network it takes what was only begun, and never what lacks the mark", async (t) => {
  const at = await host();
  const marks = await marksOf(at, "any");
  t.same(marks.elsewhere, []);
  await removeMarks(at, marks);
  t.same(namesOf(at.kernel), ["eth0", "denim.4"]);
});

t.test("without a network nothing is meant", async (t) => {
  const at = await host();
  const marks = await marksOf(at, []);
  t.same(describeMarks(marks), []);
  t.equal(marks.elsewhere.length, 4);
});

t.test("what cannot be removed is said, and the rest is removed", async (t) => {
  const at = await host();
  const subnetFile = join(temporaryFolder(t), "subnet.env");
  writeFileSync(subnetFile, "FLANNEL_NETWORK=10.42.0.0/16\n");
  const marks = await marksOf(at, "any", { subnetFile });
  // Somebody keeps one, between the look and the deed.
  at.kernel.putLink("denim.2", {
    detail: { ...at.kernel.link("denim.2")!.detail!, alias: "mine" },
  });
  await t.rejects(removeMarks(at, marks), {
    code: "KERNEL_REJECTED",
    why: "ip link del denim.2: denim.2 does not carry the mark of 10.99.0.0/16",
  });
  t.same(namesOf(at.kernel), ["eth0", "denim.2", "denim.4"]);
  t.notOk(existsSync(subnetFile));
});

t.test("what CNI runtimes read goes too, where Denim wrote it for one of the networks", async (t) => {
  const at = await host();
  const conflist = join(temporaryFolder(t), "10-denim.conflist");
  const list = renderConflist("FLANNEL_SUBNET=10.42.1.1/24\n");
  const files = async (text: string) => {
    writeFileSync(conflist, text);
    return (await marksOf(at, [OURS], { conflist })).files;
  };
  t.same(await files(list), [conflist]);
  t.same(await files(renderConflist("FLANNEL_SUBNET=10.99.1.1/24\n")), [], "another network's");
  t.same(await files(list.replace("written by Denim", "written by me")), [], "somebody else's");
  t.same(await files(list), [conflist]);
  await removeMarks(at, await marksOf(at, [OURS], { conflist }));
  t.notOk(existsSync(conflist));
});
