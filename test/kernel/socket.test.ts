import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import t from "tap";
import { openLibc } from "../../src/kernel/libc.ts";
import { RTMGRP } from "../../src/kernel/netlink/constants.ts";
import { type Event, EventSocket } from "../../src/kernel/socket.ts";
import { cannotUnshare, inNamespace, ip } from "../support/namespace.ts";
import { root } from "../support/root.ts";

t.test("events that were lost are reported as lost", { skip: cannotUnshare }, async (t) => {
  inNamespace(t);
  ip("link add eth0 type veth peer name eth0p");
  ip("address add 10.0.0.1/24 dev eth0");
  ip("link set eth0 up");
  const socket = new EventSocket(await openLibc(), RTMGRP.ipv4Route, { bufferBytes: 4096 });
  t.teardown(() => socket.close());
  const heard: (readonly Event[] | undefined)[] = [];
  let wake = () => {};
  socket.listen((events) => {
    heard.push(events);
    wake();
  });
  const lines = Array.from({ length: 500 }, (_, i) => `route add 10.9.${i >> 8}.${i & 255} dev lo`);
  ip("link set lo up");
  // The loop stands still meanwhile, so nobody drains the socket.
  spawnSync("ip", ["-batch", "-"], { input: lines.join("\n") });
  while (!heard.includes(undefined)) await new Promise<void>((resolve) => (wake = resolve));
  // And it goes on after that.
  const before = heard.length;
  ip("route del 10.9.0.1");
  while (heard.length === before) await new Promise<void>((resolve) => (wake = resolve));
  t.same(heard.at(-1)?.length, 1);
});

/** Ten times the goal of 100 ms: machines that run tests are busy. */
const EXIT_MS_MAX = 1_000;

const script = `
  import { LinuxKernel } from "${root}src/kernel/linux-kernel.ts";
  const kernel = await LinuxKernel.open();
  kernel.watch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 50));
`;

for (
  const [name, ending, status] of [
    ["is disposed of", "console.log('end'); await kernel[Symbol.asyncDispose]();", 0],
    ["is in use at process.exit", "console.log('end'); process.exit(3);", 3],
    ["is in use when the program throws", "console.log('end'); throw new Error('boom');", 1],
  ] as const
) {
  t.test(`a process ends at once although a kernel ${name}`, async (t) => {
    const flags = "Deno" in globalThis
      ? ["run", "-A", "--no-check", "--ext=ts", "-"]
      : ["--input-type=module", "-"];
    const child = spawn(process.execPath, flags, { cwd: root, stdio: ["pipe", "pipe", "ignore"] });
    let endedAtMs = NaN;
    child.stdout!.on("data", () => (endedAtMs = performance.now()));
    const imported = ending.includes("process.exit") ? 'import process from "node:process";' : "";
    child.stdin!.end(imported + script + ending);
    const code = await new Promise((resolve) => child.on("close", resolve));
    t.equal(code, status);
    const tookMs = performance.now() - endedAtMs;
    t.ok(tookMs < EXIT_MS_MAX, `it took ${tookMs.toFixed(0)} ms`);
    if (process.env["DENIM_TIMES"]) console.error(`${name}: ${tookMs.toFixed(0)} ms`);
  });
}
