import type { StatusView } from "../api/service.ts";
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
  const { node, cluster, role, lease, dataPlane, checks } = status;
  const lines = [
    `${node.name}${cluster === null ? "" : ` · ${cluster.name}`} · ${role} · denim ${node.version}`,
    row("lease", leaseText(lease)),
    row("backend", backendText(dataPlane)),
    row("routes", routesText(dataPlane)),
    row("cluster", clusterText(cluster)),
    ...checks.filter(({ ok, why }) => !ok || why !== undefined)
      .map(({ name, why }) => `! ${name}: ${why ?? "not yet"}`),
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

function backendText({ backend, mtu, link, publicIp }: StatusView["dataPlane"]): string {
  return backend === null ? "–" : `${backend} · MTU ${mtu} over ${link} ${publicIp}`;
}

function routesText({ routes, mode }: StatusView["dataPlane"]): string {
  const all = Object.entries(routes).map(([state, count]) => `${count} ${state}`);
  const careful = mode === "add-only" ? " · only adding, the cluster has not confirmed them" : "";
  return `${all.join(", ") || "none"}${careful}`;
}

function clusterText(cluster: StatusView["cluster"]): string {
  if (cluster === null) return "none";
  const { leader, leaderAgeMs, nodes, silent, revision } = cluster;
  const leads = leader !== null
    ? `leader ${leader}`
    : leaderAgeMs === null
    ? "no leader has answered yet; routes stay as they are"
    : `a leader ${formatDuration(leaderAgeMs)} ago`;
  return `${leads} · ${nodes} nodes${
    silent > 0 ? `, ${silent} silent` : ""
  } · revision ${revision}`;
}
