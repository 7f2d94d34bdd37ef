import type { NodeView } from "../api/service.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { renderTable } from "./output.ts";

/** `denim node list|show|rm`. */
export const registerNode: Register = (program, context) => {
  const node = program.command("node").description("the hosts of the cluster");
  addClientOptions(node.command("list", { isDefault: true }).alias("ls").description("all of them"))
    .action(async (flags: ClientFlags) => {
      const client = await clientOf(flags);
      const answer = await client.call("/v1/nodes") as { items: NodeView[] };
      print(context, flags, answer, ({ items }) => renderNodes(items, context.io.widthMax));
    });
  addClientOptions(node.command("show").description("one of them").argument("<node>"))
    .action(async (wanted: string, flags: ClientFlags) => {
      const client = await clientOf(flags);
      const answer = await client.call(`/v1/nodes/${encodeURIComponent(wanted)}`) as NodeView;
      print(context, flags, answer, (one) => renderNodes([one], context.io.widthMax));
    });
  addClientOptions(
    node.command("rm").description("put a node out; its subnet waits until it cannot be in use")
      .argument("<node>"),
  ).action(async (wanted: string, flags: ClientFlags) => {
    const client = await clientOf(flags);
    const path = `/v1/nodes/${encodeURIComponent(wanted)}`;
    const answer = await client.call(path, { method: "DELETE" }) as { name: string };
    print(context, flags, answer, ({ name }) => `${name} is out\n`);
  });
};

function renderNodes(nodes: readonly NodeView[], widthMax: number | undefined): string {
  return renderTable<NodeView>(
    [
      { title: "NODE", text: ({ name, self }) => (self ? `${name} *` : name), shrinks: true },
      { title: "ROLE", text: ({ role }) => role },
      { title: "SUBNET", text: ({ subnets }) => subnets.join(", ") || undefined },
      { title: "PUBLIC IP", text: ({ publicIp }) => publicIp ?? undefined },
      { title: "STATE", text: ({ silent }) => (silent ? "silent" : "ok") },
      { title: "CONTROL", text: ({ address }) => address, shrinks: true },
      { title: "VERSION", text: ({ version }) => version },
    ],
    nodes,
    widthMax,
  );
}
