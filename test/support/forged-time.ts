/**
 * Loaded before a daemon (`node --import`), with `DENIM_TEST_TIME` naming a file of JSON: lets that
 * one process live at another time, or after another boot, than its machine. Signal USR2 reads the
 * file again and writes what is in force to `FILE.seen`.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import process from "node:process";

export interface ForgedTime {
  /** How far both clocks are ahead of the machine's; behind, if negative. */
  readonly aheadMs: number;
  /** In place of the kernel's. */
  readonly bootId?: string;
}

const path = process.env["DENIM_TEST_TIME"];
if (path !== undefined) forge(path);

function forge(path: string): void {
  let time: ForgedTime = { aheadMs: 0 };
  const { readFileSync } = fs;
  const read = () => {
    const text = readFileSync(path, "utf8");
    time = JSON.parse(text) as ForgedTime;
    fs.writeFileSync(`${path}.seen`, text);
  };
  read();
  process.on("SIGUSR2", read);
  const [wallMs, monotonicMs] = [Date.now, performance.now.bind(performance)];
  Date.now = () => wallMs() + time.aheadMs;
  performance.now = () => monotonicMs() + time.aheadMs;
  const forged = (file: unknown, ...more: unknown[]) =>
    file === "/proc/sys/kernel/random/boot_id" && time.bootId !== undefined
      ? time.bootId
      : (readFileSync as (...words: unknown[]) => unknown)(file, ...more);
  fs.readFileSync = forged as typeof fs.readFileSync;
  // What was imported by name is exchanged, too.
  syncBuiltinESMExports();
}
