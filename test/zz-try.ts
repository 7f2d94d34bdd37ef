import { mkdtempSync } from "node:fs";
import { makeLab, found, joinBy, makeToken, onNode, eventually, ownRoutes } from "./support/lab.ts";
import { Fleet, routesOf, subnetsOf } from "./support/fleet.ts";
import { enterNamed } from "./support/namespace.ts";
const N = Number(process.argv[2] ?? 60);
const t0 = performance.now();
const say = (s: string) => console.log(`${(performance.now() - t0).toFixed(0)} ms ${s}`);
const lab = await makeLab({ teardown() {} } as never);
let leave = () => {};
try {
  const names = ["a", "b", "c", "fleet"];
  const hosts = []; for (const n of names) hosts.push(await lab.addHost(n));
  const [a, b, c, fleetHost] = hosts as any;
  await found(a, onNode); say("founded");
  const token = await makeToken(a);
  await joinBy(b, onNode, a, token); say("b");
  await joinBy(c, onNode, a, token); say("c");
  await eventually("3 voters", async () => {
    const { items } = await a.get("/v1/nodes") as any;
    return items.filter((i: any) => i.role === "leader" || i.role === "voter").length === 3 ? true : undefined;
  });
  say("three voters");
  const agentToken = await makeToken(a, N, ["--role", "agent"]);
  leave = enterNamed(fleetHost.namespace);
  const fleet = new Fleet({ server: a.address, token: agentToken });
  const cpu0 = process.cpuUsage();
  const s0 = performance.now();
  const failures = await fleet.join(Array.from({ length: N }, (_, i) => ({ name: `agent-${i}`, address: `192.0.2.${i + 10}`, length: 24 })));
  say(`joined; failures ${failures.length} ${failures[0] ?? ""}; took ${(performance.now() - s0).toFixed(0)}`);
  await eventually("routes", async () => fleet.agents.every((x) => routesOf(x).length === N + 2) ? true : undefined, 60000);
  const u = process.cpuUsage(cpu0);
  say(`routes in; since start ${(performance.now() - s0).toFixed(0)}; cpu ${(u.user + u.system) / 1000} ms`);
  for (const h of [a, b, c]) { const r = await ownRoutes(h); say(`${h.name} ${r.length} routes`); }
  console.log(new Set(fleet.agents.flatMap(subnetsOf)).size, "subnets");
  const { readFileSync } = await import("node:fs");
  for (const h of [a, b, c]) { const p = h.daemon.pid; const f = readFileSync(`/proc/${p}/stat`, "utf8").split(" "); console.log(h.name, "cpu ms", (Number(f[13]) + Number(f[14])) * 10, readFileSync(`/proc/${p}/status`, "utf8").match(/VmRSS.*/)![0]); }
  const p0 = fleet.agents.map((x) => x.kernel.applied.length);
  say(`applied ${Math.min(...p0)}..${Math.max(...p0)}`);
  const warns = new Map<string, number>();
  for (const x of fleet.agents) for (const l of x.log.lines) { const m = l.replace(/agent-\d+/g, "X").replace(/=\S+/g, ""); warns.set(m, (warns.get(m) ?? 0) + 1); }
  for (const [m, n] of [...warns].sort((a, b) => b[1] - a[1]).slice(0, 25)) console.log(n, m);
  await fleet[Symbol.asyncDispose]();
  say("fleet disposed");
  for (const h of [a, b, c]) console.log(h.daemon.logTail(400).filter((l: string) => /WRN|ERR/.test(l)).slice(0, 8).join("\n"));
} finally { leave(); await lab.dispose(); say("done"); }
