import { readFileSync, realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { type Command, Option } from "commander";
import { DEFAULT_SETTINGS } from "../agent/settings.ts";
import { asDenimError, DenimError } from "../base/errors.ts";
import { refuseDropIn } from "../host/docker-unit.ts";
import { fileError, makeFolder, writeFileAtomic } from "../host/files.ts";
import type { SubnetEnvRead } from "../lease/subnet-env.ts";
import { print } from "./client.ts";
import type { CommandContext, Register } from "./command.ts";
import { type Merged, mergeDaemonJson } from "./env/daemon-json.ts";
import { cannotMerge, dockerDaemonJson, dockerNetwork, dockerOptionsFile } from "./env/docker.ts";
import { incusNetwork, lxcNet } from "./env/lxc.ts";
import { nomadCni } from "./env/nomad.ts";
import { podmanNetwork } from "./env/podman.ts";
import { type Form, renderForms } from "./env/recipe.ts";
import { readSubnetFile } from "./mk-docker-opts.ts";

interface Flags {
  readonly subnetFile: string;
  readonly form?: string;
  readonly json?: true;
}

interface DockerFlags extends Flags {
  readonly daemonJson: string;
  readonly write?: true;
}

/** `denim env docker|podman|nomad|lxc`: what to set so that containers are in this host's subnet. */
export const registerEnv: Register = (program, context) => {
  const env = program.command("env")
    .description("what to set so that a runtime's containers are in this host's subnet");
  const runtime = (name: string, what: string, forms: readonly string[]) =>
    addFlags(env.command(name).description(`for ${what}`), forms);
  runtime("docker", "Docker", ["network", "options", "daemon.json"])
    .option("--daemon-json <path>", "the file to merge with", "/etc/docker/daemon.json")
    .option("--write", "write the merged daemon.json; Docker restarts when you say so")
    .action(async (flags: DockerFlags) => {
      const subnet = readSubnetFile(flags.subnetFile);
      if (flags.write) return await writeDaemonJson(context, flags, subnet);
      const merged = () => dockerDaemonJson(flags.daemonJson, merge(flags.daemonJson, subnet));
      const mergedIfAny = () => {
        try {
          return merged();
        } catch (error) {
          return cannotMerge(flags.daemonJson, asDenimError(error));
        }
      };
      show(context, flags, [
        ["network", () => dockerNetwork(subnet)],
        ["options", () => dockerOptionsFile(flags.subnetFile)],
        // Who asks for it alone is refused; beside others it is said.
        ["daemon.json", flags.form === undefined ? mergedIfAny : merged],
      ]);
    });
  runtime("podman", "Podman", ["network"]).action((flags: Flags) => {
    const subnet = readSubnetFile(flags.subnetFile);
    show(context, flags, [["network", () => podmanNetwork(subnet)]]);
  });
  runtime("nomad", "Nomad", ["cni"]).action((flags: Flags) => {
    const subnet = readSubnetFile(flags.subnetFile);
    show(context, flags, [["cni", () => nomadCni(subnet)]]);
  });
  runtime("lxc", "LXC, Incus and LXD", ["lxc-net", "incus"]).action((flags: Flags) => {
    const subnet = readSubnetFile(flags.subnetFile);
    show(context, flags, [
      ["lxc-net", () => lxcNet(subnet)],
      ["incus", () => incusNetwork(subnet)],
    ]);
  });
};

function addFlags(command: Command, forms: readonly string[]): Command {
  return command
    .addOption(
      new Option("--subnet-file <path>", "this host's subnet").env("DENIM_SUBNET_FILE")
        .default(DEFAULT_SETTINGS.subnetFile),
    )
    .addOption(new Option("--form <name>", "only this one").choices(forms))
    .option("--json", "print one JSON document");
}

/** Only what is asked for is made. */
function show(
  context: CommandContext,
  flags: Flags,
  makers: readonly (readonly [string, () => Form])[],
): void {
  const forms = makers.filter(([name]) => flags.form === undefined || flags.form === name)
    .map(([, make]) => make());
  print(context, flags, { forms }, (answer) => renderForms(answer.forms));
}

async function writeDaemonJson(
  context: CommandContext,
  flags: DockerFlags,
  subnet: SubnetEnvRead,
): Promise<void> {
  if (flags.form !== "daemon.json") {
    throw new DenimError("USAGE", "--write goes with --form daemon.json only", {
      why: "the other forms are commands for you to type",
      fix: "denim env docker --form daemon.json --write",
    });
  }
  const path = flags.daemonJson;
  const { text, changed, kept } = merge(path, subnet);
  if (changed.length > 0) {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) makeFolder(dirname(path));
    // A link stays one.
    const real = found === undefined ? path : realpathSync(path);
    await writeFileAtomic(real, text, { mode: (found?.mode ?? 0o644) & 0o777 });
  }
  print(
    context,
    flags,
    { path, changed, kept },
    () =>
      changed.length === 0
        ? `${path} says all of it already\n`
        : `${path} has ${changed.join(", ")}; for docker0 to follow: systemctl restart docker\n`,
  );
}

function merge(path: string, subnet: SubnetEnvRead): Merged {
  refuseDropIn();
  let text: string | undefined;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
      throw fileError(error, `Cannot read ${path}`);
    }
  }
  return mergeDaemonJson(text, subnet);
}
