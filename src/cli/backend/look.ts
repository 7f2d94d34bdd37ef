import type { Command } from "commander";
import type { StatusView } from "../../api/service.ts";
import { CONTRACT } from "../../backend/backend.ts";
import { systemClock } from "../../base/clock.ts";
import { asDenimError, DenimError } from "../../base/errors.ts";
import type { BackendFolder } from "../../host/backends/folder.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { backendsDirOption } from "../daemon-options.ts";
import { plain, renderTable } from "../output.ts";

interface LookFlags extends ClientFlags {
  readonly backendsDir: string;
}

/** A backend that a network config may name on this host. */
interface Found {
  readonly name: string;
  /** `null`: part of the program. */
  readonly file: string | null;
  /** What keeps it from being used; `null`: nothing. */
  readonly error: string | null;
}

interface Info extends Found {
  readonly contract: number;
  /** The network of this host's daemon uses it; `null`: there is no daemon to ask. */
  readonly inUse: boolean | null;
  /** What that daemon has to say of it. */
  readonly notes: readonly string[];
}

/** `denim backend ls` and `denim backend info NAME`. */
export function registerBackendLook(parent: Command, context: CommandContext): void {
  addClientOptions(
    parent.command("ls", { isDefault: true })
      .description("the backends that this host can use").addOption(backendsDirOption()),
  ).action(async (flags: LookFlags) => {
    const { listBackends } = await import("../../host/backends/folder.ts");
    const items: Found[] = context.backends.map(({ name }) => ({ name, file: null, error: null }));
    for (const folder of listBackends(flags.backendsDir)) {
      const { name, entry } = folder;
      const isHidden = context.backends.some((backend) => backend.name === name);
      const error = isHidden ? "one of that name is part of the program" : await faultOf(folder);
      items.push({ name, file: entry, error });
    }
    print(context, flags, { items }, () => renderFound(items, context.io.widthMax));
  });
  addClientOptions(
    parent.command("info").description("one of them: where it is, and whether it can be used")
      .argument("<name>").addOption(backendsDirOption()),
  ).action(async (name: string, flags: LookFlags) => {
    const info = { ...await look(name, flags, context), ...await inUse(name, flags) };
    print(context, flags, info, renderInfo);
    if (info.error === null) return;
    throw new DenimError("BACKEND_FAILED", `The backend "${name}" cannot be used on this host`, {
      why: plain(info.error),
      fix: info.file === null ? "denim backend ls" : "put it right; it is loaded anew by itself",
    });
  });
}

async function look(
  name: string,
  { backendsDir }: LookFlags,
  { backends }: CommandContext,
): Promise<Omit<Info, "inUse" | "notes">> {
  if (backends.some((backend) => backend.name === name)) {
    return { name, file: null, error: null, contract: CONTRACT };
  }
  const { findBackend } = await import("../../host/backends/folder.ts");
  const folder = findBackend(backendsDir, name);
  if (folder === undefined) {
    throw new DenimError("NOT_FOUND", `There is no backend "${name}"`, {
      why: `it is no part of this program, and there is none in ${backendsDir}/${name}`,
      fix: "denim backend ls shows those that there are",
    });
  }
  return { name, file: folder.entry, error: await faultOf(folder), contract: CONTRACT };
}

/** Loads it once, as the daemon would. */
async function faultOf(folder: BackendFolder): Promise<string | null> {
  const { BackendWorker } = await import("../../host/backends/backend-worker.ts");
  await using worker = new BackendWorker({ folder, clock: systemClock() });
  try {
    await worker.load();
    return null;
  } catch (error) {
    const { why, message } = asDenimError(error);
    return why ?? message;
  }
}

/** A daemon that does not answer has nothing to say. */
async function inUse(name: string, flags: ClientFlags): Promise<Pick<Info, "inUse" | "notes">> {
  try {
    const { dataPlane, checks } = await (await clientOf(flags)).call("/v1/self") as StatusView;
    const notes = checks.map(({ why }) => why ?? "").filter((why) => why.includes(`"${name}"`));
    return { inUse: dataPlane.backend === name, notes };
  } catch {
    return { inUse: null, notes: [] };
  }
}

function renderFound(items: readonly Found[], widthMax: number | undefined): string {
  return renderTable<Found>(
    [
      { title: "NAME", text: ({ name }) => name },
      { title: "FROM", text: ({ file }) => file ?? "this program" },
      { title: "STATE", text: ({ error }) => error ?? "ok", shrinks: true },
    ],
    items,
    widthMax,
  );
}

function renderInfo({ name, file, contract, inUse, error, notes }: Info): string {
  const used = inUse === null ? "no daemon answers" : inUse ? "by this host" : "not by this host";
  const rows = [
    ["from", file ?? "this program"],
    ["contract", String(contract)],
    ["in use", used],
    ["state", error ?? "it can be loaded"],
  ];
  return [
    name,
    ...rows.map(([title, text]) => `  ${title!.padEnd(9)} ${plain(text!)}`),
    ...notes.map((note) => `! ${plain(note)}`),
    "",
  ].join("\n");
}
