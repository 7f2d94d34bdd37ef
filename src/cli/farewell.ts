/** What a host is told once it is in: the whole next command, so that nobody has to look for it. */
import type { NodeView, StatusView, TokenMade } from "../api/service.ts";
import { DEFAULT_PORT } from "../transport/address.ts";

/** To be typed on the next host. The port is left out where it is the usual one. */
export function joinLine(
  server: string | undefined,
  token: string,
  verb = "join",
): readonly string[] {
  const host = server?.replace(new RegExp(`:${DEFAULT_PORT}$`), "") ?? "HOST";
  return [`      denim ${verb} ${host}`, `      token: ${token}`];
}

/** Of who formed a cluster, with a token for the next host. */
export function foundedText({ lease, dataPlane, cluster }: StatusView, made: TokenMade): string {
  return [
    `  ✓ lease     ${lease.subnets.join(", ")} via ${dataPlane.link} ${dataPlane.publicIp}`,
    `  ✓ wrote     ${dataPlane.subnetFile}`,
    "",
    `  Cluster ${cluster?.name} is up. One server so far: losing this host loses the control plane.`,
    "  Two more servers fix that.",
    "",
    "  Add a host (one use, one hour):",
    ...joinLine(made.servers[0], made.token),
    "",
    "  Many hosts:   denim token create --uses 50 --ttl 1d",
    "  Look around:  denim status",
    "",
  ].join("\n");
}

/** Of who joined one. */
export function joinedText(
  { node, role, lease, dataPlane, ready }: StatusView,
  nodes: readonly NodeView[],
): string {
  const routes = dataPlane.routes["ok"] ?? 0;
  const servers = nodes.filter(({ eligible }) => eligible === "server").length;
  return [
    `  ✓ lease     ${lease.subnets.join(", ")} · ${routes} route${
      routes === 1 ? "" : "s"
    } programmed`,
    "",
    `  ${node.name} is ${ready ? "in" : "in, but not ready yet"} (${role}).`,
    ...(servers < SERVERS_WANTED ? [`  ${lacking(servers)}`] : []),
    "",
    "  Look around:  denim status",
    "  Next host:    denim token create, on any server; it prints what to type there",
    "",
  ].join("\n");
}

/** With so many the loss of any one is survived. */
const SERVERS_WANTED = 3;

function lacking(servers: number): string {
  const more = SERVERS_WANTED - servers;
  return `${servers === 1 ? "One server" : "Two servers"} so far: with ${
    more === 1 ? "one" : "two"
  } more the cluster survives the loss of any one.`;
}
