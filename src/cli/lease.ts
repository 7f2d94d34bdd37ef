import type { LeaseView, MoveView, ReservationView } from "../api/service.ts";
import { formatDuration } from "../base/duration.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { confirm } from "./confirm.ts";
import { renderTable } from "./output.ts";

interface Listed {
  readonly items: readonly LeaseView[];
  readonly reservations: readonly ReservationView[];
}

/** `denim lease list|show|reserve|release|move`. */
export const registerLease: Register = (program, context) => {
  const lease = program.command("lease").description("who has which subnet");
  addClientOptions(
    lease.command("list", { isDefault: true }).alias("ls").description("all of them")
      .option("--contains <ip>", "only the one that an address belongs to"),
  ).action(async (flags: ClientFlags & { readonly contains?: string }) => {
    print(context, flags, await list(flags), (answer) => renderAll(answer, context.io.widthMax));
  });
  addClientOptions(lease.command("show").description("one of them").argument("<subnet>"))
    .action(async (subnet: string, flags: ClientFlags) => {
      const client = await clientOf(flags);
      const answer = await client.call(`/v1/leases/${inPath(subnet)}`) as LeaseView;
      const reservations: ReservationView[] = [];
      print(
        context,
        flags,
        answer,
        (one) => renderAll({ items: [one], reservations }, context.io.widthMax),
      );
    });
  addClientOptions(
    lease.command("reserve").description("set a subnet aside, for a node or for nobody")
      .argument("<subnet>")
      .option("--node <name>", "who gets it; it need not have joined yet"),
  ).action(async (subnet: string, flags: ClientFlags & { readonly node?: string }) => {
    const { node } = flags;
    const answer = await send(flags, "PUT", `/v1/reservations/${inPath(subnet)}`, { node });
    const owner = node === undefined ? "nobody gets it" : `only ${node} gets it`;
    print(context, flags, answer, () => `${subnet} is reserved: ${owner}\n`);
  });
  addClientOptions(
    lease.command("release").description("give a reservation back").argument("<subnet>"),
  ).action(async (subnet: string, flags: ClientFlags) => {
    const answer = await send(flags, "DELETE", `/v1/reservations/${inPath(subnet)}`);
    print(context, flags, answer, () => `${subnet} is reserved no more\n`);
  });
  addClientOptions(
    lease.command("move").description("give a node another subnet; it changes over at once")
      .argument("<node>").argument("<subnet>")
      .option("--yes", "do not ask"),
  ).action(
    async (node: string, subnet: string, flags: ClientFlags & { readonly yes?: boolean }) => {
      if (!flags.yes) await confirm(moveQuestion(node, subnet));
      const path = `/v1/nodes/${encodeURIComponent(node)}/move`;
      const answer = await send(flags, "POST", path, { subnet }) as MoveView;
      print(context, flags, answer, renderMove);
    },
  );
};

async function list(flags: ClientFlags & { readonly contains?: string }): Promise<Listed> {
  const client = await clientOf(flags);
  if (flags.contains !== undefined) {
    const query = `?contains=${encodeURIComponent(flags.contains)}`;
    const { items } = await client.call(`/v1/leases${query}`) as Listed;
    return { items, reservations: [] };
  }
  const [leases, reservations] = await Promise.all([
    client.call("/v1/leases") as Promise<{ items: LeaseView[] }>,
    client.call("/v1/reservations") as Promise<{ items: ReservationView[] }>,
  ]);
  return { items: leases.items, reservations: reservations.items };
}

async function send(
  flags: ClientFlags,
  method: "PUT" | "POST" | "DELETE",
  path: string,
  body?: object,
): Promise<unknown> {
  const json = body === undefined ? {} : {
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
  };
  return await (await clientOf(flags)).call(path, { method, ...json });
}

/** As the API spells a subnet in a path. */
function inPath(subnet: string): string {
  return encodeURIComponent(subnet.replace("/", "-"));
}

function moveQuestion(node: string, subnet: string) {
  return {
    warning: `The containers of ${node} lose their network until they are started anew`,
    word: "move",
    fix: `denim lease move ${node} ${subnet} --yes`,
  };
}

function renderMove({ name, subnet, from }: MoveView): string {
  if (from.includes(subnet)) return `${name} has ${subnet} already, and keeps it\n`;
  return `${name} changes over to ${subnet} as soon as it hears of it: denim lease list\n` +
    `Its containers have addresses of ${from.join(", ") || "no subnet"} until you start them ` +
    "anew, as the container runtime reads subnet.env.\n";
}

/** A line of the table: a lease, or a subnet that is set aside and that nobody has. */
interface Line {
  readonly subnets: string;
  readonly node: string | undefined;
  readonly reserved: string | undefined;
  readonly lease?: LeaseView;
}

function renderAll(
  { items, reservations }: Listed,
  widthMax: number | undefined,
): string {
  const leased = items.map((lease): Line => ({
    ...{ subnets: lease.subnets.join(", "), node: lease.nodeName, lease },
    reserved: lease.reserved ? "yes" : undefined,
  }));
  const set = reservations.filter(({ leased }) => !leased).map((reservation): Line => ({
    ...{ subnets: reservation.subnet, node: undefined, reserved: reservedFor(reservation) },
  }));
  return renderLines([...leased, ...set], widthMax);
}

function reservedFor({ nodeName, token, moving }: ReservationView): string {
  if (moving) return `${nodeName} moves here`;
  if (token !== null) return `for token ${token}`;
  return nodeName === null ? "for nobody" : `for ${nodeName}`;
}

function renderLines(lines: readonly Line[], widthMax: number | undefined): string {
  return renderTable<Line>(
    [
      { title: "SUBNET", text: ({ subnets }) => subnets },
      { title: "NODE", text: ({ node }) => node, shrinks: true },
      { title: "PUBLIC IP", text: ({ lease }) => lease?.publicIp },
      { title: "BACKEND", text: ({ lease }) => lease?.backendType },
      { title: "RESERVED", text: ({ reserved }) => reserved },
      {
        title: "LEFT",
        text: ({ lease }) =>
          lease?.expiresInMs === undefined ? undefined : formatDuration(lease.expiresInMs),
      },
      { title: "REVISION", text: ({ lease }) => lease?.revision, align: "right" },
    ],
    lines,
    widthMax,
  );
}
