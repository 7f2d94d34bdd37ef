import t from "tap";
import { MemoryPacketFilter } from "../../src/kernel/memory-packet-filter.ts";
import { outcome, packetFilterContract, RULES } from "../contract/packet-filter.ts";

packetFilterContract(t, (t) => {
  const filter = new MemoryPacketFilter();
  t.teardown(() => filter[Symbol.asyncDispose]());
  return Promise.resolve({
    filter,
    setPolicy: (policy) => void (filter.drops = policy === "DROP"),
    flush: () => filter.flush(),
  });
}, { skip: false });

t.test("a tool that refuses, and a host without any", async (t) => {
  const filter = new MemoryPacketFilter();
  filter.refusal = "Operation not supported";
  t.same(await outcome(filter, [RULES]), ["masquerade Operation not supported"]);
  filter.refusal = undefined;
  filter.tool = undefined;
  t.same(await outcome(filter, [RULES]), ["masquerade there is no tool"]);
  t.equal(await filter.masqueradesBy(), undefined);
});
