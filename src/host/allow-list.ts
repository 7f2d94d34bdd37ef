import { readFile, realpath, stat } from "node:fs/promises";
import { delimiter, dirname, isAbsolute, join } from "node:path";
import process from "node:process";
import { DenimError } from "../base/errors.ts";

/** Where programs are looked for; what the daemon was started with is nobody's promise. */
export const PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const WRITABLE_BY_OTHERS = 0o022;

/**
 * The beginnings of command lines that this host agrees to run as root when a network config says
 * so: one in a line, words divided by blanks, `#` begins a comment.
 */
export class AllowList {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** @throws `PERMISSION_DENIED` */
  async check(argvs: readonly (readonly string[])[]): Promise<void> {
    if (argvs.length === 0) return;
    const lines = await this.#lines();
    for (const argv of argvs) {
      if (!lines.some((line) => beginsWith(argv, line))) throw this.#refuse(argv, lines.length);
      await findProgram(argv[0]!);
    }
  }

  /** The file is read each time: who takes a line out of it is heard at once. */
  async #lines(): Promise<readonly (readonly string[])[]> {
    let text: string;
    try {
      await refuseOthers(this.path);
      text = await readFile(this.path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
    return text.split("\n").map((line) => line.replace(/#.*/, "").split(/\s+/).filter(Boolean))
      .filter((words) => words.length > 0);
  }

  #refuse(argv: readonly string[], count: number): DenimError {
    const end = argv.findIndex((word) => word.includes("$"));
    const head = argv.slice(0, end === -1 ? argv.length : end).join(" ");
    const make = count === 0 ? `mkdir -p ${dirname(this.path)}; ` : "";
    const has = count === 0 ? "allows nothing" : "has no line that it begins with";
    return new DenimError("PERMISSION_DENIED", `This host does not run "${head}"`, {
      why: `the network config wants it run here as root, and ${this.path} ${has}`,
      fix: "if whoever may write the network config may do that here: " +
        `${make}echo '${head}' >> ${this.path}`,
    });
  }
}

/**
 * The file of a program, which only root can have put there.
 *
 * @throws `PERMISSION_DENIED` `NOT_FOUND`
 */
export async function findProgram(program: string): Promise<string> {
  const candidates = isAbsolute(program)
    ? [program]
    : PROGRAM_PATH.split(delimiter).map((folder) => join(folder, program));
  for (const candidate of candidates) {
    try {
      const path = await realpath(candidate);
      await refuseOthers(path);
      await refuseOthers(dirname(path));
      return candidate;
    } catch (error) {
      if (error instanceof DenimError) throw error;
    }
  }
  const where = isAbsolute(program) ? "" : ` in ${PROGRAM_PATH}`;
  throw new DenimError("NOT_FOUND", `There is no program "${program}"${where}`, {
    fix: "install it on this host",
  });
}

/** @throws `PERMISSION_DENIED` where somebody but root, or this user, can change it */
async function refuseOthers(path: string): Promise<void> {
  const { uid, mode } = await stat(path);
  const isOurs = uid === 0 || uid === process.geteuid?.();
  if (isOurs && (mode & WRITABLE_BY_OTHERS) === 0) return;
  throw new DenimError("PERMISSION_DENIED", `${path} is not root's alone`, {
    why: isOurs ? "others can write it" : `it belongs to user ${uid}`,
    fix: `chown root ${path}; chmod go-w ${path}`,
  });
}

function beginsWith(argv: readonly string[], line: readonly string[]): boolean {
  return line.every((word, i) => argv[i] === word);
}
