import {
  DenimError,
  formatAddress,
  formatPrefix,
  type Hook,
  type Invocation,
  type Json,
  type Peer,
  type Plan,
  type Scene,
} from "denim/backend";
import { type CommandName, type Commands, fillIn, type Template } from "./config.ts";

type Values = Readonly<Record<string, string>>;

interface Given {
  readonly env: Values;
  readonly input: string;
  readonly timeoutMs: number;
}

const DATA_LENGTH_MAX = 16_384;

/** Lines of text: a control character would be some terminal's, or some parser's, business. */
// deno-lint-ignore no-control-regex
const UNFIT = /[\0-\x08\x0b-\x1f\x7f]/;

/** What PreStartupCommand has printed, on whichever host. @throws `CONFIG_INVALID` */
export function parseData(json: Json): string {
  if (json === null) return "";
  if (typeof json === "string" && json.length <= DATA_LENGTH_MAX && !UNFIT.test(json)) return json;
  throw new DenimError("CONFIG_INVALID", "What PreStartupCommand printed cannot be used", {
    why: `it is not text of at most ${DATA_LENGTH_MAX} characters`,
    fix: "have it print what SubnetAddCommand of the other hosts is to read, and nothing else",
  });
}

/** One hook for the own subnet, and one for each peer's. */
export function hooksOf({ network, config, own, peers }: Scene<Commands, string>): Plan {
  const { PostStartupCommand: add, ShutdownCommand: remove } = config.commands;
  const values = { NETWORK: formatPrefix(network), ...valuesOf(own) };
  const ownHook = hookOf(own, config, {
    ...{ values, own: true },
    add: ["PostStartupCommand", add],
    remove: ["ShutdownCommand", remove],
  });
  const { SubnetAddCommand, SubnetRemoveCommand } = config.commands;
  return [
    ...ownHook,
    ...peers.flatMap((peer) =>
      hookOf(peer, config, {
        values: valuesOf(peer),
        add: ["SubnetAddCommand", SubnetAddCommand],
        remove: ["SubnetRemoveCommand", SubnetRemoveCommand],
      })
    ),
  ];
}

/** A command with its variables filled in. flannel ends what a command reads with a line break. */
export function invocationOf(name: CommandName, argv: Template, given: Given): Invocation {
  return { name, argv, ...given, input: `${given.input}\n` };
}

function valuesOf({ subnets, publicIps }: Peer<string>): Values {
  const of = (list: readonly { readonly family: number }[], family: number) =>
    list.findIndex((one) => one.family === family);
  const values: Record<string, string> = {};
  for (const [family, infix] of [[4, ""], [6, "IPV6"]] as const) {
    const subnet = subnets[of(subnets, family)];
    if (subnet !== undefined) values[`${infix}SUBNET`] = formatPrefix(subnet);
    const address = publicIps[of(publicIps, family)];
    if (address !== undefined) {
      values[family === 4 ? "PUBLIC_IP" : "PUBLIC_IPV6"] = formatAddress(address);
    }
  }
  return values;
}

type Named = readonly [CommandName, Template | undefined];

function hookOf(
  { node, subnets, data }: Peer<string>,
  { timeoutMs }: Commands,
  of: { values: Values; own?: true; add: Named; remove: Named },
): Plan {
  const [destination] = subnets;
  if (destination === undefined || (of.add[1] ?? of.remove[1]) === undefined) return [];
  const given = { env: of.values, input: data, timeoutMs };
  const parts: { add?: Invocation; remove?: Invocation } = {};
  for (const part of ["add", "remove"] as const) {
    const [name, template] = of[part];
    if (template === undefined) continue;
    const filled = fillIn(template, of.values);
    if ("missing" in filled) {
      const why = `${name} has ${filled.missing}, and ${node} has none`;
      return [{ kind: "left-out", destination, why }];
    }
    parts[part] = invocationOf(name, filled.argv, given);
  }
  const hook: Hook = { kind: "hook", destination, ...parts, ...(of.own ? { own: true } : {}) };
  return [hook];
}
