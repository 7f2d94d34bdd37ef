import { isWay, type RouteView } from "../agent/data/route-view.ts";
import { DenimError } from "../base/errors.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { type Column, renderTable } from "./output.ts";

interface RouteFlags extends ClientFlags {
  readonly drift?: true;
}

/** `denim route [NODE]`: what should be in a node's kernel, and how it stands. */
export const registerRoute: Register = (program, context) => {
  addClientOptions(
    program.command("route").description("routes of this node, or of another, and how they stand")
      .argument("[node]", "id or name", "self")
      .option("--drift", "only what the kernel does not have as it should; fails if there is any"),
  ).action(async (node: string, flags: RouteFlags) => {
    const client = await clientOf(flags);
    const path = `/v1/nodes/${encodeURIComponent(node)}/routes`;
    const { items: all } = await client.call(path) as { items: RouteView[] };
    // Of what the routes go by only what is not right is of interest beside them.
    const items = all.filter((view) => view.state !== "ok" || (isWay(view) && !flags.drift));
    const columns = flags.drift ? DRIFT : COLUMNS;
    print(context, flags, { items }, () => {
      if (flags.drift && items.length === 0) {
        return `All ${countOf(all)} are as they should be.\n`;
      }
      return renderTable<RouteView>(columns, items, context.io.widthMax);
    });
    if (!flags.drift || items.length === 0) return;
    throw new DenimError("CHECKS_FAILED", `${items.length} of ${countOf(all)} drift`, {
      why: "the kernel does not say what the leases say",
      fix: "the daemon goes on trying; each line says what is in its way",
    });
  });
};

function countOf(all: readonly RouteView[]): string {
  const routes = all.filter(isWay).length;
  const more = all.length - routes;
  return more === 0 ? `${routes} routes` : `${routes} routes and ${more} parts of their tunnel`;
}

const ABOUT: Column<RouteView> = { title: "DESTINATION", text: ({ about }) => about };
const STATE: Column<RouteView> = { title: "STATE", text: ({ state }) => state };
const WHY: Column<RouteView> = { title: "WHY", text: ({ error }) => error, shrinks: true };

const COLUMNS: readonly Column<RouteView>[] = [
  ABOUT,
  { title: "VIA", text: ({ via }) => via },
  { title: "DEVICE", text: ({ device }) => device },
  ...[STATE, WHY],
];

const DRIFT: readonly Column<RouteView>[] = [
  ...[ABOUT, STATE],
  { title: "WANTED", text: ({ wanted }) => wanted ?? undefined },
  { title: "KERNEL", text: ({ programmed }) => programmed ?? undefined },
  WHY,
];
