import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import process from "node:process";
import { asDenimError, DenimError, type ErrorCode } from "../base/errors.ts";
import {
  delegateOf,
  type Json,
  parsePlugin,
  type PluginConfig,
  typeOf,
} from "../host/cni/flannel-plugin.ts";
import { fileError, makeFolder, writeFileAtomic } from "../host/files.ts";
import { type CommandContext, ExitStatus, type Register } from "./command.ts";
import { readSubnetFile } from "./mk-docker-opts.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** https://www.cni.dev/docs/spec/: what every plugin says to VERSION. */
const VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"];

/** The spec's numbers for errors; 100 and more are a plugin's own. */
const CODES: Partial<Record<ErrorCode, number>> = {
  USAGE: 4,
  PERMISSION_DENIED: 5,
  STORE_FAILED: 5,
  CONFIG_INVALID: 7,
  // Try again later: this host has no subnet yet.
  NOT_FOUND: 11,
};
const CODE_OTHERWISE = 100;

/**
 * `denim cni`: a CNI plugin of type `flannel`, for configurations that name it. A runtime starts it
 * for each container; by the name `flannel`, in the folder of its plugins, it is a link to Denim.
 */
export const registerCni: Register = (program, context) => {
  program.command("cni")
    .description("a CNI plugin of type flannel; runtimes call it, through a link of that name")
    .action(async () => {
      try {
        await act(context);
      } catch (thrown) {
        if (thrown instanceof ExitStatus) throw thrown;
        context.io.out(errorJson(thrown));
        throw new ExitStatus(1);
      }
    });
};

async function act({ io }: CommandContext): Promise<void> {
  const command = required(io.env, "CNI_COMMAND");
  if (command === "VERSION") {
    io.out(`${JSON.stringify({ cniVersion: VERSIONS.at(-1), supportedVersions: VERSIONS })}\n`);
    return;
  }
  if (!["ADD", "CHECK", "DEL"].includes(command)) {
    throw new DenimError("USAGE", `CNI_COMMAND=${command} is none that this plugin knows`);
  }
  const id = containerId(io.env);
  const plugin = parsePlugin(await text(process.stdin));
  const kept = join(plugin.dataDir, id);
  if (command === "ADD") return await add(io.env, plugin, kept);
  // What is gone already need not be taken away: the spec wants no error.
  if (!existsSync(kept)) {
    if (command === "DEL") return;
    throw new DenimError("NOT_FOUND", `Nothing is known of container ${id}`, {
      why: `there is no ${kept}`,
    });
  }
  const delegate = recall(kept) ?? delegateOf(plugin, readSubnetFile(plugin.subnetFile));
  const { prevResult } = plugin;
  const config = prevResult === undefined
    ? delegate
    : { ...delegate, prevResult: withGateways(prevResult) };
  await run(io.env, pathOf(io.env, delegate), config);
  if (command === "DEL") rmSync(kept, { force: true });
}

/**
 * What ADD has kept. `undefined` where a crash has left a file without it: then what ADD would say
 * now has to do, or the container could never be taken away.
 */
function recall(path: string): Json | undefined {
  try {
    const json: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof json === "object" && json !== null ? json as Json : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw fileError(error, `Cannot read "${path}"`);
  }
}

/**
 * A result without the routes that name no gateway: they go by the container's, and the bridge
 * plugin, when it checks, does not find them that way (seen with 1.1.1).
 */
function withGateways(result: Json): Json {
  const { routes } = result;
  if (!Array.isArray(routes)) return result;
  return { ...result, routes: routes.filter((route: Json) => route["gw"] !== undefined) };
}

async function add(env: Env, plugin: PluginConfig, kept: string): Promise<void> {
  const delegate = delegateOf(plugin, readSubnetFile(plugin.subnetFile));
  const path = pathOf(env, delegate);
  makeFolder(plugin.dataDir, 0o700);
  await writeFileAtomic(kept, JSON.stringify(delegate), { mode: 0o600 });
  await run(env, path, delegate);
}

/** Where the plugin is that does the work. @throws `USAGE` `CONFIG_INVALID` */
function pathOf(env: Env, delegate: Json): string {
  const type = typeOf(delegate);
  const path = required(env, "CNI_PATH").split(":").map((folder) => join(folder, type))
    .find((candidate) => existsSync(candidate));
  if (path !== undefined) return path;
  throw new DenimError("USAGE", `There is no plugin ${type} in CNI_PATH`, {
    why: env["CNI_PATH"] ?? "",
    fix: "install the plugins: containernetworking-plugins on Debian",
  });
}

/** Runs it: its answer, or its error, is ours. */
async function run(env: Env, path: string, config: Json): Promise<void> {
  const child = spawn(path, [], { stdio: ["pipe", "inherit", "inherit"], env });
  child.stdin!.on("error", () => {});
  child.stdin!.end(JSON.stringify(config));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (status !== 0) throw new ExitStatus(status ?? 1);
}

/** It becomes the name of a file. @throws `USAGE` */
function containerId(env: Env): string {
  const id = required(env, "CNI_CONTAINERID");
  if (/^[a-zA-Z0-9][\w.-]*$/.test(id)) return id;
  throw new DenimError("USAGE", `CNI_CONTAINERID=${id} is no container`);
}

function required(env: Env, name: string): string {
  const value = env[name];
  if (value !== undefined && value !== "") return value;
  throw new DenimError("USAGE", `${name} is not set`, {
    why: "a container runtime calls this, with the variables of the CNI specification",
  });
}

function errorJson(thrown: unknown): string {
  const { code, message, why, fix } = asDenimError(thrown);
  const details = [why, fix].filter((part) => part !== undefined).join("; ");
  return `${
    JSON.stringify({
      cniVersion: VERSIONS.at(-1),
      code: CODES[code] ?? CODE_OTHERWISE,
      msg: message,
      details,
    })
  }\n`;
}
