import type { CommandContext, Register } from "./command.ts";
import { addDaemonOptions, type DaemonFlags } from "./daemon-options.ts";
import { ETCD_ADDRESS } from "./etcd-options.ts";
import { runDaemon } from "./daemon.ts";
import { addWayOptions, type WayFlags, wayOf } from "./run.ts";

/**
 * `denim flanneld`: the daemon as `denim run` has it, for units and scripts that start flanneld. It
 * is told what to do in flannel's words, which {@link flanneldWords} has turned into Denim's, and
 * has flannel's defaults: nothing is masqueraded, and the keys are where etcd would have them.
 */
export const registerFlanneld: Register = (program, context) => {
  const command = program.command("flanneld")
    .description("run the daemon in flannel's place: its flags and variables, and its defaults")
    .addHelpText("after", "\nflannel's flags, with one dash or two: docs/reference/flanneld.md");
  addDaemonOptions(addWayOptions(command));
  command.options.find(({ long }) => long === "--etcd-listen")!.default(ETCD_ADDRESS);
  command.setOptionValueWithSource("etcdListen", ETCD_ADDRESS, "default");
  command.action(async (flags: DaemonFlags & WayFlags) => {
    const { env } = context.io;
    const saysNothing = flags.ipMasq === undefined && !env["DENIM_IP_MASQ"];
    await runDaemon(context, {
      flags: {
        ...flags,
        ...(saysNothing ? { ipMasq: false } : {}),
        // The host may have an etcd for others, as the first node of flannel's pages has.
        etcdMayBeAway: command.getOptionValueSource("etcdListen") === "default",
      },
      ...wayOf(flags, env),
    });
  });
};

/** flanneld's words as Denim's; what has no effect is said. @throws `USAGE` */
export async function flanneldWords(
  typed: readonly string[],
  { io }: CommandContext,
): Promise<readonly string[]> {
  const { translate } = await import("./flanneld/translate.ts");
  const { words, notes } = translate(typed, io.env);
  for (const note of notes) io.err(`  · ${note}\n`);
  return words;
}
