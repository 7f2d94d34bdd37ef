import process from "node:process";
import type { Host } from "../lab/host.ts";
import type { Leftovers } from "../lab/leftovers.ts";
import type { Program } from "../lab/self.ts";
import { type Column, renderTable, textWidth } from "../output.ts";
import type { Place } from "./enter.ts";
import type { HostReport } from "./play.ts";

/** Did every container reach every other one? */
export function allReached(hosts: readonly HostReport[]): boolean {
  return hosts.every(({ reaches }) =>
    Object.keys(reaches).length === hosts.length - 1 &&
    Object.values(reaches).every((tripMs) => tripMs !== null)
  );
}

/** One block of lines per host, a line per route. */
interface Row {
  readonly host: HostReport | undefined;
  readonly route: string;
}

/** With everything where the terminal is wide enough, else with what matters most. */
export function renderHosts(hosts: readonly HostReport[], widthMax: number | undefined): string {
  const wide = renderTable(columnsOf(hosts, WIDE), rowsOf(hosts));
  const width = Math.max(...wide.split("\n").map(textWidth));
  if (widthMax === undefined || width <= widthMax) return wide;
  return renderTable(columnsOf(hosts, NARROW), rowsOf(hosts), widthMax);
}

function rowsOf(hosts: readonly HostReport[]): Row[] {
  return hosts.flatMap((host) => {
    const [first = "none", ...rest] = host.routes;
    return [{ host, route: first }, ...rest.map((route) => ({ host: undefined, route }))];
  });
}

interface Form {
  readonly title: string;
  readonly route: (text: string) => string;
  readonly trip: (tripMs: number | null | undefined) => string;
}

const WIDE: Form = {
  title: "REACHES",
  route: (text) => text,
  trip: (tripMs) => typeof tripMs === "number" ? `✓ ${tripMs.toFixed(1)} ms` : "✗",
};

const NARROW: Form = {
  title: "→",
  route: (text) => text.replace(/ dev .*/, ""),
  trip: (tripMs) => typeof tripMs === "number" ? "✓" : "✗",
};

function columnsOf(hosts: readonly HostReport[], form: Form): Column<Row>[] {
  const once = (text: (host: HostReport) => string) => ({ host }: Row) => host ? text(host) : "";
  return [
    { title: "HOST", text: once(({ name }) => name) },
    { title: "ROLE", text: once(({ role }) => role) },
    { title: "SUBNET", text: once(({ subnet }) => subnet) },
    { title: "ROUTES", text: ({ route }) => form.route(route), shrinks: true },
    ...hosts.map(({ name }): Column<Row> => ({
      title: `${form.title} ${name}`,
      text: once((from) => from.name === name ? "–" : form.trip(from.reaches[name])),
    })),
  ];
}

export interface LookOptions {
  readonly hosts: readonly Host[];
  readonly program: Program;
  readonly port: number;
  readonly place: Place;
}

/** What can be typed in another terminal while the demo is there: title and command. */
export function lookAround(options: LookOptions): readonly (readonly [string, string])[] {
  const { hosts, program, port, place } = options;
  const first = hosts[0]!;
  const other = hosts[1] ?? first;
  const root = process.env["SUDO_USER"] === undefined ? "" : "sudo ";
  const denim = `${root}${program.join(" ")}`;
  const enter = place === "here"
    ? `${root}ip netns exec ${other.namespace}`
    : `nsenter --target ${other.daemon!.pid} --user --net --preserve-credentials`;
  return [
    ["the API, read-only", `curl http://127.0.0.1:${port}/v1/leases`],
    [`host ${first.name}`, `${denim} status --socket ${first.socketPath}`],
    ["the nodes", `${denim} node list --socket ${first.socketPath}`],
    [`inside ${other.name}`, `${enter} ip route`],
    [`what ${other.name} logs`, `${root}tail -f ${other.logFile}`],
  ];
}

export function renderLook(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(...lines.map(([title]) => title.length));
  return lines.map(([title, command]) => `  ${title.padEnd(width)}   ${command}\n`).join("");
}

export function renderRemoved(removed: Leftovers): string {
  const counted = [
    ...[`${removed.namespaces.length} namespaces`, `${removed.links.length} links`],
    ...[`${removed.processes.length} processes`, ...removed.folders],
  ];
  return `Removed: ${counted.join(", ")}\n`;
}

/** What should have gone and has not, by name. */
export function namesOf(left: Leftovers): string {
  const { namespaces, links, processes, folders } = left;
  return [...namespaces, ...links, ...processes.map((pid) => `process ${pid}`), ...folders]
    .join(", ");
}
