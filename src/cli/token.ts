import { readFileSync } from "node:fs";
import type { TokenMade, TokenView } from "../api/service.ts";
import { parseDuration } from "../base/duration.ts";
import { DenimError } from "../base/errors.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { renderTable } from "./output.ts";

interface CreateFlags extends ClientFlags {
  readonly role: "server" | "agent";
  readonly uses: string;
  readonly ttl: string;
  readonly name?: string;
  readonly quiet?: boolean;
}

/** `denim token create|list|revoke|inspect`. */
export const registerToken: Register = (program, context) => {
  const token = program.command("token").description("permissions to join");
  addClientOptions(
    token.command("create").description("make one; its secret is shown this once")
      .option("--role <role>", "server may come to hold the log, agent never", "server")
      .option("--uses <n>", "hosts that it lets in, or unlimited", "1")
      .option("--ttl <duration>", "how long, such as 30m, 1h or 7d", "1h")
      .option("--name <name>", "to tell it by in lists")
      .option("-q, --quiet", "print the token and nothing else"),
  ).action(async (flags: CreateFlags) => {
    const request = {
      role: roleOf(flags.role),
      uses: usesOf(flags.uses),
      ttlMs: ttlOf(flags.ttl),
      ...(flags.name === undefined ? {} : { name: flags.name }),
    };
    const made = await (await clientOf(flags)).call("/v1/tokens", {
      method: "POST",
      body: JSON.stringify(request),
      headers: { "content-type": "application/json" },
    }) as TokenMade;
    print(context, flags, made, flags.quiet ? (made) => `${made.token}\n` : renderMade);
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

function renderMade({ token, role, expires, servers }: TokenMade): string {
  return [
    `  Becomes ${role === "server" ? "a server" : "an agent"}; good until ${expires}.`,
    `      denim join ${servers[0] ?? "HOST"}`,
    `      token: ${token}`,
    "",
  ].join("\n");
}

function renderTokens(tokens: readonly TokenView[], widthMax: number | undefined): string {
  return renderTable<TokenView>(
    [
      { title: "ID", text: ({ id }) => id },
      { title: "NAME", text: ({ name }) => name ?? undefined, shrinks: true },
      { title: "ROLE", text: ({ role }) => role },
      { title: "USES LEFT", text: ({ usesLeft }) => usesLeft ?? "any", align: "right" },
      { title: "EXPIRES", text: ({ expires }) => expires },
    ],
    tokens,
    widthMax,
  );
}
