import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { asDenimError, type DenimError } from "../../src/base/errors.ts";
import { AllowList, findProgram } from "../../src/host/allow-list.ts";
import { temporaryFolder } from "../support/folders.ts";

function listOf(t: Test, text?: string): AllowList {
  const path = join(temporaryFolder(t), "commands.allow");
  if (text !== undefined) writeFileSync(path, text, { mode: 0o644 });
  return new AllowList(path);
}

async function refusalOf(work: Promise<unknown>): Promise<DenimError> {
  try {
    await work;
  } catch (error) {
    return asDenimError(error);
  }
  throw new Error("it was not refused");
}

t.test("who wants nothing needs no file", async (t) => {
  await listOf(t).check([]);
  t.pass("it is not even read");
});

t.test("without a file nothing is allowed, and what to type is said", async (t) => {
  const list = listOf(t);
  const { code, message, why, fix } = await refusalOf(
    list.check([["ip", "route", "replace", "$SUBNET", "via", "$PUBLIC_IP"]]),
  );
  t.equal(code, "PERMISSION_DENIED");
  t.equal(message, 'This host does not run "ip route replace"');
  t.match(why ?? "", /as root, and .*commands\.allow allows nothing/);
  t.match(fix ?? "", /echo 'ip route replace' >> .*commands\.allow/);
});

t.test("a line allows what begins with its words, and nothing else", async (t) => {
  const list = listOf(t, "# routes\n\n  ip  route replace # and no more\n");
  await list.check([["ip", "route", "replace", "10.5.1.0/24"], ["ip", "route", "replace"]]);
  for (const argv of [["ip", "route", "del"], ["ip", "route"], ["ip", "route", "replaced"], []]) {
    const { code } = await refusalOf(list.check([argv]));
    t.equal(code, "PERMISSION_DENIED", argv.join(" "));
  }
  t.match((await refusalOf(list.check([["sh", "-c", "x"]]))).why ?? "", /no line that it begins/);
});

t.test("one that is not allowed is one too many", async (t) => {
  const list = listOf(t, "true\n");
  t.equal(
    (await refusalOf(list.check([["true"], ["false"]]))).message,
    'This host does not run "false"',
  );
});

t.test("a line that is taken out is heard at once", async (t) => {
  const list = listOf(t, "true\n");
  await list.check([["true"]]);
  writeFileSync(list.path, "");
  t.equal((await refusalOf(list.check([["true"]]))).code, "PERMISSION_DENIED");
});

t.test("a file that others can write is no word of root's", async (t) => {
  const list = listOf(t, "true\n");
  chmodSync(list.path, 0o666);
  const { message, why, fix } = await refusalOf(list.check([["true"]]));
  t.match(message, /commands\.allow is not root's alone/);
  t.equal(why, "others can write it");
  t.match(fix ?? "", /chmod go-w/);
});

t.test("a program that others can change is not run, nor one in a folder of theirs", async (t) => {
  const folder = temporaryFolder(t);
  const program = join(folder, "x");
  writeFileSync(program, "#!/bin/sh\n", { mode: 0o755 });
  const link = join(folder, "link");
  symlinkSync(program, link);
  t.equal(await findProgram(link), link);
  chmodSync(program, 0o775);
  t.match((await refusalOf(findProgram(link))).message, /x is not root's alone/);
  chmodSync(program, 0o755);
  const open = join(folder, "open");
  mkdirSync(open);
  chmodSync(open, 0o777);
  writeFileSync(join(open, "y"), "#!/bin/sh\n", { mode: 0o755 });
  t.match((await refusalOf(findProgram(join(open, "y")))).message, /open is not root's alone/);
});

t.test("a program is looked for where the system's are, and nowhere else", async (t) => {
  t.match(await findProgram("true"), /^\/.*bin\/true$/);
  const { code, message } = await refusalOf(findProgram("denim-has-no-such-program"));
  t.equal(code, "NOT_FOUND");
  t.match(message, /no program "denim-has-no-such-program" in \/usr\/local\/sbin/);
  const list = listOf(t, "/nowhere/x\n");
  t.equal((await refusalOf(list.check([["/nowhere/x"]]))).code, "NOT_FOUND");
  rmSync(list.path);
});
