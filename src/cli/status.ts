import type { QuorumView, StatusView } from "../api/service.ts";
import { formatDuration } from "../base/duration.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";

/** `denim status`: this host on one screen. */
export const registerStatus: Register = (program, context) => {
  addClientOptions(program.command("status").description("this host on one screen"))
    .action(async (flags: ClientFlags) => {
      const client = await clientOf(flags);
      print(context, flags, await client.call("/v1/self") as StatusView, renderStatus);
    });
};

function renderStatus(status: StatusView): string {
  const { node, cluster, role, zone, lease, dataPlane, checks } = status;
  const words = [node.name, cluster?.name, role, zone && `zone ${zone}`, `denim ${node.version}`];
  const lines = [
    words.filter(Boolean).join(" · "),
    row("lease", leaseText(lease)),
    row("backend", backendText(dataPlane)),
    row("routes", routesText(dataPlane)),
    ...(Object.keys(dataPlane.tunnel).length === 0
      ? []
      : [row("tunnel", countsText(dataPlane.tunnel))]),
    row("rules", rulesText(dataPlane)),
    row("cluster", clusterText(cluster)),
    ...checks.filter(({ ok, why }) => !ok || why !== undefined)
      .map(({ name, why }) => `! ${name}: ${why ?? "not yet"}`),
    ...quorumLines(cluster?.quorum ?? null),
    status.ready ? "ready" : "not ready",
  ];
  return `${lines.join("\n")}\n`;
}

function row(name: string, text: string): string {
  return `  ${name.padEnd(9)} ${text}`;
}

function leaseText({ state, subnets, trustedForMs, why }: StatusView["lease"]): string {
  if (state === "none") return `none${why === null ? "" : `: ${why}`}`;
  const held = state === "held" ? `held, ${formatDuration(trustedForMs)} left` : "fenced";
  return `${subnets.join(", ")}   ${held}${why === null ? "" : `: ${why}`}`;
}

function backendText(dataPlane: StatusView["dataPlane"]): string {
  const { backend, mtu, link, linkWhy, publicIp, publicIpv6 } = dataPlane;
  if (backend === null) return "–";
  const addresses = [publicIp, publicIpv6].filter((address) => address !== null).join(" ");
  return `${backend} · MTU ${mtu} over ${link} ${addresses}, chosen ${linkWhy}`;
}

function routesText({ routes, mode }: StatusView["dataPlane"]): string {
  const careful = mode === "add-only" ? " · only adding, the cluster has not confirmed them" : "";
  return `${countsText(routes) || "none"}${careful}`;
}

function countsText(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts).map(([state, count]) => `${count} ${state}`).join(", ");
}

function rulesText({ rules }: StatusView["dataPlane"]): string {
  const texts = rules.filter(({ error }) => error === null).map(({ kind, tool, from }) =>
    kind === "masquerade" ? `masquerade by ${tool}` : `let through ${from} by ${tool}`
  );
  return [...new Set(texts)].join(", ") || "none";
}

function clusterText(cluster: StatusView["cluster"]): string {
  if (cluster === null) return "none";
  const { leader, leaderAgeMs, nodes, silent, revision, quorum } = cluster;
  const leads = leader !== null
    ? `leader ${leader}`
    : quorum !== null
    ? "no leader"
    : leaderAgeMs === null
    ? "no leader has answered yet; routes stay as they are"
    : `a leader ${formatDuration(leaderAgeMs)} ago`;
  return `${leads} · ${nodes} nodes${
    silent > 0 ? `, ${silent} silent` : ""
  } · revision ${revision}`;
}

/** What is wrong, what goes on all the same, and what to type. */
function quorumLines(quorum: QuorumView | null): string[] {
  if (quorum === null) return [];
  const { reachable, voters, needed, fix } = quorum;
  return [
    `! no leader: ${reachable} of ${voters} voters reachable (need ${needed}). ` +
    "Routes on this host are kept; no changes possible.",
    ...(fix === null ? [] : [`  fix: ${fix}`]),
  ];
}
