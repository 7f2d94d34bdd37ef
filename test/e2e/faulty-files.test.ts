/** Files of a backend that cannot be loaded, while its host runs and when its daemon starts. */
import { chmodSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { cannotLab, onDeno, ownRoutes, untilRouted, watchAll } from "../support/lab.ts";
import {
  MOODY,
  putMoody,
  setNetwork,
  threeRuntimes,
  untilSaid,
  untilWell,
} from "../support/moody.ts";

const TIMEOUT_MS = 600_000;

const BROKEN: readonly (readonly [what: string, text: string, said: RegExp])[] = [
  [
    "throws when it is loaded",
    `\nthrow new Error("no such card");\n${MOODY}`,
    /mod\.ts:2: Error: no/,
  ],
  ["is no TypeScript", `export const = 7;\n${MOODY}`, /mod\.ts:1: /],
  [
    "is of another contract",
    MOODY.replace("contract: 1", "contract: 2"),
    /mod\.ts.*for contract 2/,
  ],
  ["loops when it is loaded", `for (;;);\n${MOODY}`, /mod\.ts: it was not loaded within 5 s/],
];

t.test("a backend that cannot be loaded costs neither the daemon nor a packet", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const hosts = await threeRuntimes(t, { Type: "moody" }, (hosts) => {
    hosts.forEach((host) => putMoody(host));
  });
  const [a, b, c] = hosts;
  await untilRouted(hosts);
  for (const host of hosts) await host.startContainer();
  const before = await ownRoutes(b);
  const endWatch = await watchAll(hosts);

  await t.test(
    "files that others can write to, while it runs",
    { timeout: TIMEOUT_MS },
    async (t) => {
      const file = join(b.backendsDir, "moody/route.ts");
      chmodSync(file, 0o666);
      await setNetwork(a, { Type: "moody", Fault: "exit" });
      await untilSaid(b, /! routes: The backend "moody"/);
      await setNetwork(a, { Type: "moody" });
      await untilSaid(b, /moody\/route\.ts: everybody can write to it \(mode 666\).*\nready$/);
      await untilWell([a, c]);
      t.same(await ownRoutes(b), before);
      chmodSync(file, 0o644);
      await untilWell([b]);
      t.same(await ownRoutes(b), before);
    },
  );

  for (const [what, text, said] of BROKEN) {
    await t.test(`a daemon starts, and its backend ${what}`, { timeout: TIMEOUT_MS }, async (t) => {
      await b.daemon!.stop();
      putMoody(b, text);
      await b.startDaemon(onDeno, ["run"]);
      t.match(await untilSaid(b, said), /! routes: The backend "moody".*not ready$/s);
      t.same(await ownRoutes(b), before);
      t.ok(b.daemon!.isRunning);
      putMoody(b);
      await untilWell([b]);
      t.same(await ownRoutes(b), before);
    });
  }

  await t.test("and all the while not a packet was lost", async (t) => {
    t.same(await endWatch(), []);
  });
});
