import { checkDaemon } from "./daemon-checks.ts";
import type { Facts } from "./facts.ts";
import type { Finding } from "./finding.ts";
import { checkForwarding } from "./forwarding-checks.ts";
import { checkHost } from "./host-checks.ts";
import { checkNetwork } from "./network-checks.ts";

/** What this host needs so that its containers reach others', in the order of a packet's way. */
export function examine(facts: Facts): Finding[] {
  return [
    ...checkHost(facts),
    ...checkNetwork(facts),
    ...checkForwarding(facts),
    ...checkDaemon(facts),
  ];
}

/** `13 checks passed, 1 warning`. */
export function summary(findings: readonly Finding[]): string {
  const count = (...results: Finding["result"][]) =>
    findings.filter(({ result }) => results.includes(result)).length;
  const [passed, warnings, failed] = [count("ok", "note"), count("warning"), count("failed")];
  return [
    `${passed} checks passed`,
    ...(warnings > 0 ? [`${warnings} warning${warnings === 1 ? "" : "s"}`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ].join(", ");
}
