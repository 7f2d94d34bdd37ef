import t from "tap";
import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { EMPTY_KERNEL } from "../../src/plan/kernel.ts";
import { MemoryKernel } from "../../src/kernel/memory-kernel.ts";
import type { Vxlan } from "../../src/plan/wanted.ts";
import { kernelContract } from "../contract/kernel.ts";

const STRANGE: Vxlan = {
  ...{ kind: "vxlan", vni: 99, port: 9999, local: parseAddress("10.0.0.1") },
  ...{ underlay: "eth0", learning: true },
};

kernelContract(t, async (t) => {
  const kernel = new MemoryKernel();
  t.teardown(() => kernel[Symbol.asyncDispose]());
  kernel.addLink("eth0", {
    addresses: [
      { address: parseAddress("10.0.0.1"), length: 24 },
      { address: parseAddress("fd00::1"), length: 64 },
    ],
  });
  kernel.addLink("eth1", { addresses: [{ address: parseAddress("10.1.0.1"), length: 24 }] });
  await new Promise<void>((resolve) => queueMicrotask(resolve));
  return {
    kernel,
    putRoute: (route, protocol) => kernel.putRoute(route, { protocol }),
    dropRoute: (destination) => kernel.dropRoute(parsePrefix(destination)),
    setLink: (name, state) => kernel.setLink(name, state),
    putLink: (name, { group = 0, alias = "" }) =>
      kernel.putLink(name, { detail: { mac: "02:00:00:00:00:99", group, alias, tunnel: STRANGE } }),
    changeLink(name, { mac, ...rest }) {
      const { detail } = kernel.link(name)!;
      kernel.putLink(name, { ...rest, detail: { ...detail!, ...(mac ? { mac } : {}) } });
    },
    dropLink: (name) => kernel.removeLink(name),
    put(item) {
      if (item.kind === "address") kernel.addAddress(item.device, item);
      else if (item.kind === "neighbour") kernel.putEntry({ ...item, permanent: true });
      else kernel.putEntry({ ...item, permanent: true, plain: true });
    },
    drop(item) {
      if (item.kind === "address") kernel.dropAddress(item.device, item);
      else kernel.dropEntry(item);
    },
  };
}, { skip: false, ipv6: true });

t.test("a removed link takes addresses and routes along", async (t) => {
  const kernel = new MemoryKernel();
  kernel.addLink("eth0", { addresses: [{ address: parseAddress("10.0.0.1"), length: 24 }] });
  kernel.removeLink("eth0");
  t.same(await kernel.read(), EMPTY_KERNEL);
});
