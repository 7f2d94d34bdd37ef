import { join } from "node:path";
import * as v from "valibot";
import { DenimError } from "../base/errors.ts";
import { diskFiles, type Files } from "./files.ts";
import { IDENTITY_SCHEMAS, type IdentityKind, type IdentityRecord } from "./identity-schema.ts";

/** The number of this layout. A greater one was written by a newer Denim. */
const FORMAT = 1;

const PEM_FILES = { key: "key.pem", cert: "cert.pem", ca: "ca.pem", caKey: "ca-key.pem" };
export type PemKind = keyof typeof PEM_FILES;

/** The node's own name and keys: without them it is another node. */
const REJOIN = "put the file back from a copy, or come back by a token: " +
  "denim rejoin HOST --with-token";

/** What to do when a file is damaged. */
const FIXES: Readonly<Record<IdentityKind | PemKind, string>> = {
  node: REJOIN,
  key: REJOIN,
  cert: REJOIN,
  ca: REJOIN,
  secret: "put the file back from a backup; or remove it, and peers learn this node's new keys",
  lease: "remove the file; the cluster knows the lease and gives it back",
  boot: "remove the file; the lease then has to be confirmed by the cluster once",
  programmed: "remove the file; routes of networks that this node no longer has are then left " +
    "alone, until `ip route flush proto 68`",
  hooks: "remove the file; what commands have added for subnets that are gone then stays until " +
    "you remove it",
  servers: "remove the file and name a server once: denim run --join ADDRESS",
  caKey: "remove the file; this server gets the key again from another one. On the only server, " +
    "put it back from a backup",
};

/**
 * The plain files of `/var/lib/denim/identity/`: who this node is and what it was last told. They
 * are apart from the database, so that a damaged one can be set aside without losing the node.
 */
export class IdentityFolder {
  readonly path: string;
  readonly #files: Files;

  constructor(path: string, files: Files = diskFiles) {
    this.path = path;
    this.#files = files;
  }

  /** `undefined` when it was never written. Throws `STORE_DAMAGED`, with what to do about it. */
  async read<Kind extends IdentityKind>(kind: Kind): Promise<IdentityRecord<Kind> | undefined> {
    const path = this.#pathOf(kind);
    const text = await this.#files.read(path);
    if (text === undefined) return undefined;
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (cause) {
      throw damaged(path, kind, "it is not JSON", cause);
    }
    const format = (json as { format?: unknown } | null)?.format;
    if (typeof format === "number" && format > FORMAT) {
      throw new DenimError("STORE_DAMAGED", `${path} cannot be used`, {
        why: `it has format ${format}; this Denim knows ${FORMAT}`,
        fix: "run the newer version of Denim that wrote it",
      });
    }
    if (format !== FORMAT) throw damaged(path, kind, "it does not say its format");
    const result = v.safeParse(IDENTITY_SCHEMAS[kind], json);
    if (result.success) return result.output as IdentityRecord<Kind>;
    const issue = result.issues[0];
    throw damaged(path, kind, `${v.getDotPath(issue) ?? "it"}: ${issue.message}`);
  }

  /** On disk, whole or not at all, when this resolves. */
  async write<Kind extends IdentityKind>(kind: Kind, record: IdentityRecord<Kind>): Promise<void> {
    const text = JSON.stringify({ format: FORMAT, ...record }, null, 2);
    await this.#files.write(this.#pathOf(kind), `${text}\n`);
  }

  /** A key or certificate, PEM. `caKey` is on servers only. */
  async readPem(kind: PemKind): Promise<string | undefined> {
    const path = this.#pathOf(kind);
    const text = await this.#files.read(path);
    if (text === undefined || /-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----/.test(text)) {
      return text;
    }
    throw damaged(path, kind, "it is not PEM");
  }

  async writePem(kind: PemKind, pem: string): Promise<void> {
    await this.#files.write(this.#pathOf(kind), `${pem.trim()}\n`);
  }

  /** Fine when there is none. A server that is demoted removes `caKey`. */
  async remove(kind: IdentityKind | PemKind): Promise<void> {
    await this.#files.remove(this.#pathOf(kind));
  }

  /** Forgets the node: what `denim leave` ends with. The keys go first. */
  async wipe(): Promise<void> {
    for (const kind of ["caKey", "key", "secret"] as const) await this.remove(kind);
    await this.#files.remove(this.path);
  }

  #pathOf(kind: IdentityKind | PemKind): string {
    return join(this.path, kind in PEM_FILES ? PEM_FILES[kind as PemKind] : `${kind}.json`);
  }
}

function damaged(
  path: string,
  kind: IdentityKind | PemKind,
  why: string,
  cause?: unknown,
): DenimError {
  return new DenimError("STORE_DAMAGED", `${path} is damaged`, { why, fix: FIXES[kind], cause });
}
