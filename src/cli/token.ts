import { readFileSync } from "node:fs";
import type { TokenMade, TokenRequest, TokenView } from "../api/service.ts";
import { formatDuration, parseDuration } from "../base/duration.ts";
import { DenimError } from "../base/errors.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { confirm } from "./confirm.ts";
import { joinLine } from "./farewell.ts";
import { renderTable } from "./output.ts";

interface CreateFlags extends ClientFlags {
  readonly role?: string;
  readonly uses: string;
  readonly ttl: string;
  readonly node?: string;
  readonly name?: string;
  readonly from?: readonly string[];
  readonly subnet?: string;
  readonly ephemeral?: boolean;
  readonly yes?: boolean;
  readonly quiet?: boolean;
}

/** What is valid for longer lies about in more places. */
const LONG_TTL_MS = 30 * 86_400_000;

/** `denim token create|list|revoke|inspect`. */
export const registerToken: Register = (program, context) => {
  const token = program.command("token").description("permissions to join");
  addClientOptions(
    token.command("create").description("make one; its secret is shown this once")
      .option(
        "--role <role>",
        "server (may come to hold the log) or agent (never) (default: server)",
      )
      .option("--uses <n>", "hosts that it lets in, or unlimited", "1")
      .option("--ttl <duration>", "how long, such as 30m, 1h or 7d", "1h")
      .option("--from <cidr>", "only for hosts at these addresses; may be given again", again)
      .option("--subnet <cidr>", "set aside for the host that joins; only with one use")
      .option("--ephemeral", "for agents that are removed soon after they fall silent")
      .option("--node <node>", "only lets this member come back, also without its key")
      .option("--name <name>", "to tell it by in lists")
      .option("--yes", "do not ask, whatever the number of uses and the time")
      .option("-q, --quiet", "print the token and nothing else"),
  ).action(async (flags: CreateFlags) => {
    const request = requestOf(flags);
    if (!flags.yes) await confirmLoose(request);
    const made = await (await clientOf(flags)).call("/v1/tokens", {
      method: "POST",
      body: JSON.stringify(request),
      headers: { "content-type": "application/json" },
    }) as TokenMade;
    print(context, flags, made, flags.quiet ? (made) => `${made.token}\n` : renderMade(request));
  });
  addClientOptions(token.command("list").alias("ls").description("those that were made"))
    .action(async (flags: ClientFlags) => {
      const answer = await (await clientOf(flags)).call("/v1/tokens") as { items: TokenView[] };
      print(context, flags, answer, ({ items }) => renderTokens(items, context.io.widthMax));
    });
  addClientOptions(token.command("revoke").description("end one").argument("<id>"))
    .action(async (id: string, flags: ClientFlags) => {
      const path = `/v1/tokens/${encodeURIComponent(id)}`;
      const answer = await (await clientOf(flags)).call(path, { method: "DELETE" });
      print(context, flags, answer, () => `${id} is revoked\n`);
    });
  token.command("inspect").description("what a token says, without asking anybody")
    .argument("<file>", "a file that holds it, - for standard input")
    .option("--json", "print one JSON document")
    .action(async (file: string, flags: ClientFlags) => {
      const { inspectToken } = await import("../transport/token.ts");
      const view = inspectToken(readFileSync(file === "-" ? 0 : file, "utf8"));
      print(
        context,
        flags,
        view,
        ({ id, role, caPin }) => `id    ${id}\nrole  ${role}\nCA    ${caPin}\n`,
      );
    });
};

function again(block: string, before: readonly string[] = []): readonly string[] {
  return [...before, block];
}

function requestOf(flags: CreateFlags): TokenRequest {
  const { role, uses, ttl, node, name, from, subnet, ephemeral } = flags;
  return {
    role: roleOf(role ?? (ephemeral ? "agent" : "server")),
    uses: usesOf(uses),
    ttlMs: ttlOf(ttl),
    ...(node === undefined ? {} : { node }),
    ...(name === undefined ? {} : { name }),
    ...(from === undefined ? {} : { from }),
    ...(subnet === undefined ? {} : { subnet }),
    ...(ephemeral ? { ephemeral } : {}),
  };
}

/** A token that is found by somebody else is as good for him as for us. */
async function confirmLoose({ uses, ttlMs }: TokenRequest): Promise<void> {
  const time = ttlMs > LONG_TTL_MS ? `for ${formatDuration(ttlMs)}` : undefined;
  const count = uses === null ? "any number of hosts" : undefined;
  if (time === undefined && count === undefined) return;
  const scope = [count ?? "hosts", time].filter((word) => word !== undefined).join(" ");
  await confirm({
    warning: `Whoever finds this token can bring in ${scope}`,
    word: "create",
    fix: "denim token create --yes, with the rest as it was",
  });
}

function roleOf(text: string): "server" | "agent" {
  if (text === "server" || text === "agent") return text;
  throw new DenimError("USAGE", `"${text}" is not a role`, {
    fix: "--role server or --role agent",
  });
}

function usesOf(text: string): number | null {
  if (text === "unlimited") return null;
  const uses = Number(text);
  if (Number.isSafeInteger(uses) && uses > 0) return uses;
  throw new DenimError("USAGE", `"${text}" is not a number of uses`, { fix: "--uses 50" });
}

function ttlOf(text: string): number {
  const ttlMs = parseDuration(text);
  if (ttlMs !== undefined && ttlMs >= 1_000) return ttlMs;
  throw new DenimError("USAGE", `"${text}" is not a duration`, { fix: "--ttl 1h, 30m or 7d" });
}

function renderMade({ from, subnet, ephemeral }: TokenRequest) {
  return ({ token, role, node, expires, servers }: TokenMade): string => {
    const kind = ephemeral ? "an ephemeral agent" : role === "server" ? "a server" : "an agent";
    const becomes = `Becomes ${kind}${subnet === undefined ? "" : ` with ${subnet}`}`;
    return [
      `  ${node === null ? becomes : `Lets ${node} come back`}; ` +
      `good ${from === undefined ? "" : `from ${from.join(", ")} `}until ${expires}.`,
      ...joinLine(servers[0], token, node === null ? "join" : "rejoin --with-token"),
      "",
    ].join("\n");
  };
}

function renderTokens(tokens: readonly TokenView[], widthMax: number | undefined): string {
  return renderTable<TokenView>(
    [
      { title: "ID", text: ({ id }) => id },
      { title: "NAME", text: ({ name }) => name ?? undefined, shrinks: true },
      { title: "ROLE", text: ({ role }) => role },
      { title: "STATE", text: ({ state }) => state },
      { title: "USES LEFT", text: ({ usesLeft }) => usesLeft ?? "any", align: "right" },
      { title: "EXPIRES", text: ({ expires }) => expires },
      { title: "ONLY", text: limitsOf, shrinks: true },
    ],
    tokens,
    widthMax,
  );
}

function limitsOf({ from, subnet, ephemeral }: TokenView): string | undefined {
  const limits = [
    ...(from.length === 0 ? [] : [`from ${from.join(", ")}`]),
    ...(subnet === null ? [] : [`for ${subnet}`]),
    ...(ephemeral ? ["ephemeral"] : []),
  ];
  return limits.join("; ") || undefined;
}
