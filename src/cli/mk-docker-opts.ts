import { lstatSync, readFileSync, writeFileSync } from "node:fs";
import { DEFAULT_SETTINGS } from "../agent/settings.ts";
import { asDenimError, DenimError } from "../base/errors.ts";
import { fileError, writeFileAtomic } from "../host/files.ts";
import { parseSubnetEnv, type SubnetEnvRead } from "../lease/subnet-env.ts";
import type { Register } from "./command.ts";
import { dockerOptions, renderDockerEnv } from "./docker-options.ts";

interface Flags {
  readonly f: string;
  readonly d: string;
  readonly i?: true;
  readonly c?: true;
  readonly m?: true;
  readonly k: string;
}

/** A dockerd of any user's unit reads it. */
const FILE_MODE = 0o644;

/**
 * `denim mk-docker-opts`: flannel's script of that name, for units that run it after flanneld. Where
 * the script goes on without a subnet, and Docker then starts with its own, this one fails.
 */
export const registerMkDockerOpts: Register = (program, { io }) => {
  program.command("mk-docker-opts")
    .description("write dockerd's options out of subnet.env, as flannel's script of that name")
    .option("-f <path>", "subnet.env", DEFAULT_SETTINGS.subnetFile)
    .option("-d <path>", "the file to write", "/run/docker_opts.env")
    .option("-i", "one variable for each option")
    .option("-c", "all options in one variable; neither -i nor -c: both")
    .option("-m", "leave --ip-masq out")
    .option("-k <name>", "what that variable is called", "DOCKER_OPTS")
    .action(async (flags: Flags) => {
      const key = variableName(flags.k);
      const env = readSubnetFile(flags.f);
      const options = dockerOptions(env, { ipMasq: flags.m !== true, env: io.env });
      const isBoth = flags.i === flags.c;
      const text = renderDockerEnv(options, {
        individual: isBoth || flags.i === true,
        combinedKey: isBoth || flags.c === true ? key : undefined,
        before: io.env[key] ?? "",
      });
      await write(flags.d, text);
    });
};

/** @throws `NOT_FOUND` `CONFIG_INVALID` `PERMISSION_DENIED`, each with the way to a good one */
export function readSubnetFile(path: string): SubnetEnvRead {
  const fix = "wait until the daemon is ready: denim status";
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== "ENOENT") throw fileError(cause, `Cannot read ${path}`);
    const why = "it is written once this host holds its lease and has its routes";
    throw new DenimError("NOT_FOUND", `There is no ${path}`, { why, fix, cause });
  }
  try {
    return parseSubnetEnv(text);
  } catch (cause) {
    const { code, message, why } = asDenimError(cause);
    const where = `in ${path}`;
    throw new DenimError(code, message, {
      ...{ why: why === undefined ? where : `${why} (${where})`, fix, cause },
    });
  }
}

/** It becomes a name in a file that shells read. @throws `USAGE` */
function variableName(text: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(text)) return text;
  throw new DenimError("USAGE", `"${text}" is no name of a variable`, {
    fix: "-k DOCKER_NETWORK_OPTIONS",
  });
}

/** A file as a whole; into anything else, `/dev/stdout` say, as the shell's `>` would. */
async function write(path: string, text: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.isFile()) {
    return await writeFileAtomic(path, text, { mode: FILE_MODE });
  }
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw fileError(error, `Cannot write "${path}"`);
  }
}
