import type { CaView } from "../api/service.ts";
import { sleep, systemClock } from "../base/clock.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { CommandContext, Register } from "./command.ts";
import { renderTable } from "./output.ts";

interface RotateFlags extends ClientFlags {
  readonly leaveSilent?: boolean;
  readonly wait: boolean;
}

/** `denim ca show|rotate`. */
export const registerCa: Register = (program, context) => {
  const ca = program.command("ca").description("who vouches for the cluster's nodes");
  addClientOptions(
    ca.command("show", { isDefault: true })
      .description("the certificate authority, and how far a change of it is"),
  ).action(async (flags: ClientFlags) => {
    const view = await (await clientOf(flags)).call("/v1/ca") as CaView;
    print(context, flags, view, (view) => render(view, context.io.widthMax));
  });
  addClientOptions(
    ca.command("rotate")
      .description("put a new certificate authority in the place of the present one")
      .option("--leave-silent", "do not wait for silent nodes; they come back by: denim rejoin")
      .option("--no-wait", "do not wait for the end; it goes on by itself"),
  ).action(async (flags: RotateFlags) => {
    const client = await clientOf(flags);
    const begun = await client.call("/v1/ca/rotate", {
      method: "POST",
      body: JSON.stringify({ leaveSilent: flags.leaveSilent === true }),
      headers: { "content-type": "application/json" },
    }) as CaView;
    if (!flags.wait) return print(context, flags, begun, (view) => render(view, undefined));
    const ended = await follow(context, begun, async () => await client.call("/v1/ca") as CaView);
    print(context, flags, ended, ({ signer, tokensVoid }) =>
      [
        `The CA is ${signer.id} now, until ${signer.expires}.\n`,
        `Tokens that were made before are void (${tokensVoid}); ` +
        "backups that hold the old CA key are of no more use: make a new one.\n",
      ].join(""));
  });
};

const LOOK_MS = 500;

/** Says on the error output what it waits for, whenever that changes. */
async function follow(
  { io }: CommandContext,
  begun: CaView,
  look: () => Promise<CaView>,
): Promise<CaView & { readonly tokensVoid: number }> {
  const clock = systemClock();
  let said = "";
  let tokensVoid = begun.tokens;
  for (let view = begun;; view = await look()) {
    const { rotation } = view;
    if (rotation === null) return { ...view, tokensVoid };
    if (rotation.phase === "spreading") tokensVoid = view.tokens;
    const text = progressOf(view);
    if (text !== said) io.err(`  ${text}\n`);
    said = text;
    await sleep(clock, LOOK_MS);
  }
}

function progressOf({ rotation, nodes }: CaView): string {
  const { phase, missing, next } = rotation!;
  const what = phase === "spreading" ? `believe the new CA ${next}` : "have a certificate of it";
  const shown = missing.slice(0, 3).map(({ name, silent }) => silent ? `${name} (silent)` : name);
  const rest = missing.length > 3 ? ` and ${missing.length - 3} more` : "";
  const waits = missing.length === 0 ? "" : `; waiting for ${shown.join(", ")}${rest}`;
  return `${nodes - missing.length} of ${nodes} nodes ${what}${waits}`;
}

function render(view: CaView, widthMax: number | undefined): string {
  const table = renderTable<CaView["cas"][number]>(
    [
      { title: "CA", text: ({ id }) => id },
      { title: "SIGNS", text: ({ id }) => (id === view.signer.id ? "yes" : "no") },
      { title: "EXPIRES", text: ({ expires }) => expires },
    ],
    view.cas,
    widthMax,
  );
  return view.rotation === null ? table : `${table}${progressOf(view)}\n`;
}
