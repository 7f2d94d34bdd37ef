/** Rule texts that are compared as a whole. `node test/plan/golden.ts` writes them anew. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { forwardChain, installScript, natChain, readSavedTable } from "../../src/plan/iptables.ts";
import { nftablesText } from "../../src/plan/nftables.ts";
import type { NetworkRules } from "../../src/plan/rules.ts";
import { root } from "../support/root.ts";

export const FOUR: NetworkRules = {
  network: parsePrefix("10.244.0.0/16"),
  subnets: [parsePrefix("10.244.3.0/24")],
  exempt: [parsePrefix("192.168.0.0/16"), parsePrefix("172.16.9.0/24")],
  masquerade: true,
  forward: true,
};

export const SIX: NetworkRules = {
  network: parsePrefix("fd00:244::/48"),
  subnets: [parsePrefix("fd00:244:0:3::/64")],
  exempt: [parsePrefix("fd00:9::/64")],
  masquerade: true,
  forward: true,
};

const none = readSavedTable("");

function iptables(rules: NetworkRules): string {
  return installScript(none, natChain(rules), "POSTROUTING") +
    installScript(none, forwardChain(rules), "FORWARD");
}

/** By file name: the text as the program makes it now. */
export const TEXTS: Readonly<Record<string, string>> = {
  "ipv4.nft": nftablesText(FOUR),
  "ipv6.nft": nftablesText(SIX),
  "ipv4.iptables": iptables(FOUR),
  "ipv6.iptables": iptables(SIX),
};

function pathOf(name: string): string {
  return join(root, "test/plan/golden", name);
}

export function readGolden(name: string): string {
  return readFileSync(pathOf(name), "utf8");
}

if (import.meta.main) {
  for (const [name, text] of Object.entries(TEXTS)) writeFileSync(pathOf(name), text);
}
