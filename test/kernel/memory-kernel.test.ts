import t from "tap";
import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { MemoryKernel } from "../../src/kernel/memory-kernel.ts";
import { kernelContract } from "../contract/kernel.ts";

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
  };
}, { skip: false, ipv6: true });

t.test("a removed link takes addresses and routes along", async (t) => {
  const kernel = new MemoryKernel();
  kernel.addLink("eth0", { addresses: [{ address: parseAddress("10.0.0.1"), length: 24 }] });
  kernel.removeLink("eth0");
  t.same(await kernel.read(), { links: [], addresses: [], routes: [] });
});
