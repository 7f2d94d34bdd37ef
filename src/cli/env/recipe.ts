import { type Address, type Family, formatAddress, parseAddress } from "../../ip/address.ts";
import { formatPrefix, parsePrefix, type Prefix } from "../../ip/prefix.ts";
import type { SubnetEnvRead } from "../../lease/subnet-env.ts";

/** Something to type, or a file to have. */
export type Step =
  | { readonly run: string }
  | { readonly file: string; readonly text: string };

/** One way to have a runtime's containers in this host's subnet. */
export interface Form {
  readonly name: string;
  readonly title: string;
  readonly steps: readonly Step[];
  /** What restarts, what stays, what to look out for: a sentence each. */
  readonly notes: readonly string[];
}

/** This host's subnet in one family, as runtimes want it. */
export interface Block {
  readonly family: Family;
  readonly subnet: Prefix;
  /** The bridge's address. */
  readonly gateway: Address;
  /** The whole flat network, where subnet.env says it. */
  readonly network: Prefix | undefined;
}

/** One per family, IPv4 first. */
export function blocksOf(env: SubnetEnvRead): Block[] {
  const rows = [[env.gateway, env.network], [env.gatewayV6, env.networkV6]] as const;
  return rows.flatMap(([gateway, network]) => {
    if (gateway === undefined) return [];
    const address = parseAddress(gateway.split("/")[0]!);
    return [{
      family: address.family,
      subnet: parsePrefix(gateway),
      gateway: address,
      network: network === undefined ? undefined : parsePrefix(network),
    }];
  });
}

/** `--subnet 10.244.3.0/24 --gateway 10.244.3.1`, as docker and podman take it. */
export function subnetFlags(blocks: readonly Block[]): string[] {
  return [
    ...(blocks.some(({ family }) => family === 6) ? ["--ipv6"] : []),
    ...blocks.flatMap(({ subnet, gateway }) => [
      `--subnet ${formatPrefix(subnet)}`,
      `--gateway ${formatAddress(gateway)}`,
    ]),
  ];
}

/** A command over as many lines as it has parts. */
export function command(...parts: readonly string[]): string {
  return parts.join(" \\\n  ");
}

/** For people: what to type stands out by its indent. */
export function renderForms(forms: readonly Form[]): string {
  return forms.map(renderForm).join("\n");
}

function renderForm({ name, title, steps, notes }: Form): string {
  const lines = [
    `${name}: ${title}`,
    ...steps.flatMap((step) =>
      "run" in step
        ? ["", ...indented(step.run)]
        : ["", `  ${step.file}:`, "", ...indented(indented(step.text.trimEnd()).join("\n"))]
    ),
    "",
    ...notes.map((note) => `  · ${note}`),
  ];
  return `${lines.join("\n")}\n`;
}

function indented(text: string): string[] {
  return text.split("\n").map((line) => (line === "" ? "" : `  ${line}`));
}
