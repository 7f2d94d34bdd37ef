import type { NodeRemoved, NodeView } from "../api/service.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { renderTable } from "./output.ts";

/** `denim node list|show|promote|demote|auto|rm`. */
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
      .argument("<node>")
      .option("--force", "although it is there, and may go on using its subnet for a while"),
  ).action(async (wanted: string, flags: ClientFlags & { readonly force?: boolean }) => {
    const client = await clientOf(flags);
    const path = `/v1/nodes/${encodeURIComponent(wanted)}${flags.force ? "?force=true" : ""}`;
    const answer = await client.call(path, { method: "DELETE" }) as NodeRemoved;
    print(context, flags, answer, renderRemoved);
  });
  for (const [verb, { preferred, does }] of Object.entries(ROLES)) {
    addClientOptions(node.command(verb).description(does).argument("<node>"))
      .action(async (wanted: string, flags: ClientFlags) => {
        const client = await clientOf(flags);
        const answer = await client.call(`/v1/nodes/${encodeURIComponent(wanted)}/preferred`, {
          method: "PUT",
          body: JSON.stringify({ preferred }),
          headers: { "content-type": "application/json" },
        }) as NodeView;
        print(context, flags, answer, renderPreferred);
      });
  }
};

const ROLES = {
  promote: { preferred: "voter", does: "make a server a voter, and keep it one" },
  demote: { preferred: "standby", does: "let a server vote only where nobody else could" },
  auto: { preferred: null, does: "leave a server's role to Denim again" },
} as const;

function renderRemoved({ name, wasServer }: NodeRemoved): string {
  const next = "It may have had the CA key. When it is not to be trusted any more:\n" +
    "    denim ca rotate\n";
  return `${name} is out\n${wasServer ? next : ""}`;
}

function renderPreferred({ name, role, preferred }: NodeView): string {
  if (preferred === null) return `${name} is ${role}, and Denim decides what it will be\n`;
  const votes = role === "leader" || role === "voter";
  if (votes === (preferred === "voter")) return `${name} is ${role}, and stays so\n`;
  return `${name} is ${role}; it becomes ${preferred} as soon as that costs no vote\n`;
}

function renderNodes(nodes: readonly NodeView[], widthMax: number | undefined): string {
  return renderTable<NodeView>(
    [
      { title: "NODE", text: ({ name, self }) => (self ? `${name} *` : name), shrinks: true },
      { title: "ROLE", text: ({ role, preferred }) => preferred === null ? role : `${role} !` },
      // Only where somebody has said one.
      ...(nodes.some(({ zone }) => zone !== null)
        ? [{ title: "ZONE", text: ({ zone }: NodeView) => zone ?? undefined }]
        : []),
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
