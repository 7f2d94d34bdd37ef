import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { isBackendName } from "../../backend/registry.ts";
import { DenimError } from "../../base/errors.ts";
import { fileError } from "../../host/files.ts";
import type { CommandContext } from "../command.ts";
import { skeletonOf } from "./skeleton.ts";

/** `denim backend new NAME`: a folder with a backend that works, its tests and its README. */
export function registerBackendNew(parent: Command, { io, backends }: CommandContext): void {
  parent.command("new")
    .description("begins one of your own: a folder with a backend that works, its tests, a README")
    .argument("<name>", "lower-case words with hyphens")
    .addOption(new Option("--dir <dir>", "the folder to make").default("NAME", "./NAME"))
    .action((name: string, flags: { readonly dir: string }) => {
      if (!isBackendName(name)) {
        throw new DenimError("USAGE", `"${name}" is no name for a backend`, {
          why: "it has to be lower-case words with hyphens, at most 32 letters",
          fix: "denim backend new my-backend",
        });
      }
      if (backends.some((backend) => backend.name === name)) {
        throw new DenimError("USAGE", `There is a backend "${name}" already`, {
          why: "it is part of this program, and would be used in place of yours",
          fix: "give yours another name",
        });
      }
      const folder = flags.dir === "NAME" ? name : flags.dir;
      writeAll(folder, skeletonOf(name));
      io.out(
        `${folder}/ has a backend that works. What to do next:\n` +
          `  denim backend test ${folder}\n` +
          `  cp -r ${folder} /etc/denim/backends/${name}        on every host\n` +
          `  "Backend": {"Type": "${name}"}        in the network config\n`,
      );
    });
}

/** All or nothing. @throws `FILE_NOT_OURS`, `PERMISSION_DENIED`, `STORE_FAILED` */
function writeAll(folder: string, files: Readonly<Record<string, string>>): void {
  if (existsSync(folder)) {
    throw new DenimError("FILE_NOT_OURS", `${folder} is there already`, {
      why: "somebody's work would be lost",
      fix: "give another name, or --dir DIR",
    });
  }
  try {
    mkdirSync(folder, { mode: 0o755 });
    for (const [file, text] of Object.entries(files)) {
      writeFileSync(join(folder, file), text, { mode: 0o644 });
    }
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw fileError(error, `Cannot make ${folder}`);
  }
}
