import type { RouteView } from "../agent/data-plane.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { renderTable } from "./output.ts";

/** `denim route [NODE]`: what should be in a node's kernel, and how it stands. */
export const registerRoute: Register = (program, context) => {
  addClientOptions(
    program.command("route").description("routes of this node, or of another, and how they stand")
      .argument("[node]", "id or name", "self"),
  ).action(async (node: string, flags: ClientFlags) => {
    const client = await clientOf(flags);
    const path = `/v1/nodes/${encodeURIComponent(node)}/routes`;
    const answer = await client.call(path) as { items: RouteView[] };
    print(context, flags, answer, ({ items }) =>
      renderTable<RouteView>(
        [
          { title: "DESTINATION", text: ({ destination }) => destination },
          { title: "VIA", text: ({ via }) => via },
          { title: "DEVICE", text: ({ device }) => device },
          { title: "STATE", text: ({ state }) => state },
          { title: "WHY", text: ({ error }) => error, shrinks: true },
        ],
        items,
        context.io.widthMax,
      ));
  });
};
