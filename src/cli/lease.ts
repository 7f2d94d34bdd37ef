import type { LeaseView } from "../api/service.ts";
import { formatDuration } from "../base/duration.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { renderTable } from "./output.ts";

/** `denim lease list|show`. */
export const registerLease: Register = (program, context) => {
  const lease = program.command("lease").description("who has which subnet");
  addClientOptions(
    lease.command("list", { isDefault: true }).alias("ls").description("all of them")
      .option("--contains <ip>", "only the one that an address belongs to"),
  ).action(async (flags: ClientFlags & { readonly contains?: string }) => {
    const client = await clientOf(flags);
    const query = flags.contains === undefined
      ? ""
      : `?contains=${encodeURIComponent(flags.contains)}`;
    const answer = await client.call(`/v1/leases${query}`) as { items: LeaseView[] };
    print(context, flags, answer, ({ items }) => renderLeases(items, context.io.widthMax));
  });
  addClientOptions(lease.command("show").description("one of them").argument("<subnet>"))
    .action(async (subnet: string, flags: ClientFlags) => {
      const client = await clientOf(flags);
      const answer = await client.call(`/v1/leases/${subnet.replace("/", "-")}`) as LeaseView;
      print(context, flags, answer, (one) => renderLeases([one], context.io.widthMax));
    });
};

function renderLeases(leases: readonly LeaseView[], widthMax: number | undefined): string {
  return renderTable<LeaseView>(
    [
      { title: "SUBNET", text: ({ subnets }) => subnets.join(", ") },
      { title: "NODE", text: ({ nodeName }) => nodeName, shrinks: true },
      { title: "PUBLIC IP", text: ({ publicIp }) => publicIp },
      { title: "BACKEND", text: ({ backendType }) => backendType },
      {
        title: "LEFT",
        text: ({ expiresInMs }) =>
          expiresInMs === undefined ? undefined : formatDuration(expiresInMs),
      },
      { title: "REVISION", text: ({ revision }) => revision, align: "right" },
    ],
    leases,
    widthMax,
  );
}
