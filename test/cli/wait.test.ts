import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { run } from "../../src/cli/program.ts";
import { temporaryFolder } from "../support/folders.ts";

async function wait(...words: readonly string[]): Promise<{ status: number; err: string }> {
  let err = "";
  const io = { out() {}, err: (text: string) => void (err += text), widthMax: undefined, env: {} };
  const status = await run(["wait", ...words], { io, version: "0", backends: [] });
  return { status, err };
}

t.test("it ends when the subnet is there, and no sooner", async (t) => {
  const path = join(temporaryFolder(t), "subnet.env");
  const late = await wait("--subnet-file", path, "--timeout", "200ms");
  t.equal(late.status, 8);
  t.match(late.err, /There is no .*subnet\.env after 200ms/);
  const waiting = wait("--subnet-file", path);
  writeFileSync(path, "FLANNEL_SUBNET=10.244.1.1/24\n");
  t.same(await waiting, { status: 0, err: "" });
  t.equal((await wait("--subnet-file", path, "--timeout", "soon")).status, 2);
});
