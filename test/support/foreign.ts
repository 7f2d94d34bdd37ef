/** Backends from the disk, for tests: folders as somebody writes them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A backend in TypeScript that routes by peers' addresses; `parts` are members in place of its own. */
export function backendText(
  parts: { readonly [member: string]: string } = {},
  { before = "", name = "mine" } = {},
): string {
  const members = {
    contract: "contract: 1",
    name: `name: "${name}"`,
    parseConfig: "parseConfig: () => null",
    parseData: "parseData: () => null",
    publish: "publish: (host) => ({ data: null, mtu: host.link.mtu })",
    plan: PLAN,
    ...parts,
  };
  const lines = Object.values(members).map((member) => `  ${member},\n`).join("");
  return `import { defineBackend, DenimError, ofFamily } from "denim/backend";
${before}
export const backend = defineBackend<unknown, any>({
${lines}});
`;
}

const PLAN = `plan: ({ host, peers }) =>
    peers.flatMap(({ publicIps, subnets }) =>
      subnets.map((destination) => ({
        kind: "route" as const,
        destination,
        via: ofFamily(publicIps, destination.family)!,
        device: host.link.name,
      }))
    )`;

export const LANGUAGES = ["ts", "js", "mjs"] as const;

/** The files of that backend in one of its languages: its module, and one that it imports. */
export function filesIn(
  language: typeof LANGUAGES[number],
  parts: { readonly [member: string]: string } = {},
  name?: string,
): Readonly<Record<string, string>> {
  const isTyped = language === "ts";
  const options = name === undefined ? {} : { name };
  const text = backendText(parts, {
    before: `import { word } from "./word.${language}";`,
    ...options,
  });
  return {
    [`mod.${language}`]: isTyped ? text : text.replace(/<unknown, any>| as const|!/g, ""),
    [`word.${language}`]: `export const word${isTyped ? ": string" : ""} = "hello";\n`,
  };
}

/** @returns the backend's folder */
export function putBackend(
  dir: string,
  files: Readonly<Record<string, string>>,
  name = "mine",
): string {
  const folder = join(dir, name);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const [file, text] of Object.entries(files)) {
    writeFileSync(join(folder, file), text, { mode: 0o644 });
  }
  return folder;
}
