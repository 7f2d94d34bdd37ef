/**
 * Every failure that may happen has a code here. The code is a contract: the CLI derives its
 * exit status from it, the API its HTTP status, and the docs one heading each.
 *
 * `status` is the HTTP status; `exit` follows the table in `docs/reference/commands.md`:
 * 1 failed, 2 usage, 3 not found, 4 not allowed, 5 daemon not reachable, 6 no leader,
 * 7 conflict or precondition, 8 timeout, 9 checks failed, 130 interrupted.
 */
export const ERRORS = {
  // The request itself.
  USAGE: { status: 400, exit: 2 },
  CONFIG_INVALID: { status: 400, exit: 2 },
  REQUEST_INVALID: { status: 400, exit: 2 },
  NOT_FOUND: { status: 404, exit: 3 },
  METHOD_NOT_ALLOWED: { status: 405, exit: 2 },
  HOST_NOT_ALLOWED: { status: 403, exit: 4 },
  READ_ONLY: { status: 403, exit: 4 },
  // Preconditions and conflicts.
  REVISION_MISMATCH: { status: 412, exit: 7 },
  REVISION_REQUIRED: { status: 428, exit: 2 },
  NETWORK_IN_USE: { status: 409, exit: 7 },
  NETWORK_OVERLAP: { status: 409, exit: 7 },
  // Leases.
  LEASE_TAKEN: { status: 409, exit: 7 },
  LEASE_LOST: { status: 409, exit: 7 },
  LEASE_FENCED: { status: 409, exit: 7 },
  POOL_EXHAUSTED: { status: 409, exit: 7 },
  PUBLIC_IP_TAKEN: { status: 409, exit: 7 },
  ON_HOLD: { status: 409, exit: 7 },
  // Joining and trust.
  TOKEN_MALFORMED: { status: 400, exit: 2 },
  TOKEN_UNKNOWN: { status: 403, exit: 4 },
  TOKEN_INVALID: { status: 403, exit: 4 },
  TOKEN_USED: { status: 403, exit: 4 },
  TOKEN_EXPIRED: { status: 403, exit: 4 },
  TOKEN_REVOKED: { status: 403, exit: 4 },
  TOKEN_OUT_OF_RANGE: { status: 403, exit: 4 },
  TOKEN_THROTTLED: { status: 429, exit: 4 },
  JOIN_CA_MISMATCH: { status: 403, exit: 4 },
  JOIN_REFUSED: { status: 403, exit: 4 },
  PEER_REFUSED: { status: 403, exit: 4 },
  CLUSTER_MISMATCH: { status: 409, exit: 7 },
  EPOCH_MISMATCH: { status: 409, exit: 7 },
  CLUSTER_EXISTS: { status: 409, exit: 7 },
  UPGRADE_NEEDED: { status: 409, exit: 7 },
  NOT_A_MEMBER: { status: 403, exit: 4 },
  NODE_ALIVE: { status: 409, exit: 7 },
  ROLE_REFUSED: { status: 409, exit: 7 },
  // Reaching somebody.
  DAEMON_UNREACHABLE: { status: 503, exit: 5 },
  PEER_UNREACHABLE: { status: 503, exit: 5 },
  CONNECTION_LOST: { status: 503, exit: 5 },
  NO_LEADER: { status: 503, exit: 6 },
  NOT_LEADER: { status: 503, exit: 6 },
  OVERLOADED: { status: 503, exit: 1 },
  OUTCOME_UNKNOWN: { status: 504, exit: 8 },
  TIMEOUT: { status: 504, exit: 8 },
  CANCELLED: { status: 499, exit: 130 },
  COMPACTED: { status: 410, exit: 1 },
  CHECKS_FAILED: { status: 500, exit: 9 },
  // This host.
  STORE_LOCKED: { status: 500, exit: 7 },
  STORE_DAMAGED: { status: 500, exit: 1 },
  STORE_FAILED: { status: 500, exit: 1 },
  BACKUP_DAMAGED: { status: 400, exit: 1 },
  PASSPHRASE_WRONG: { status: 403, exit: 4 },
  DISK_FULL: { status: 507, exit: 1 },
  PERMISSION_DENIED: { status: 403, exit: 4 },
  FILE_NOT_OURS: { status: 409, exit: 7 },
  SYSTEMD_FAILED: { status: 500, exit: 1 },
  PORT_IN_USE: { status: 500, exit: 7 },
  INTERFACE_NOT_FOUND: { status: 400, exit: 3 },
  PEER_NOT_ON_LINK: { status: 409, exit: 7 },
  KERNEL_REJECTED: { status: 500, exit: 1 },
  BACKEND_FAILED: { status: 500, exit: 1 },
  COMMAND_FAILED: { status: 500, exit: 1 },
  PLATFORM_UNSUPPORTED: { status: 500, exit: 1 },
  PROTOCOL: { status: 400, exit: 1 },
  INTERNAL: { status: 500, exit: 1 },
} as const;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorOptions {
  /** One sentence: why it happened. */
  readonly why?: string;
  /** What to do about it, as something that can be typed where possible. */
  readonly fix?: string;
  readonly cause?: unknown;
}

/** The plain form of a {@link DenimError}, as it crosses a wire. */
export interface ErrorJson {
  readonly code: ErrorCode;
  readonly message: string;
  readonly why?: string;
  readonly fix?: string;
}

/** A failure that may happen in a correct program: bad input, a lost peer, a full disk. */
export class DenimError extends Error {
  readonly code: ErrorCode;
  readonly why: string | undefined;
  readonly fix: string | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "DenimError";
    this.code = code;
    this.why = options.why;
    this.fix = options.fix;
  }

  toJSON(): ErrorJson {
    return {
      code: this.code,
      message: this.message,
      ...(this.why === undefined ? {} : { why: this.why }),
      ...(this.fix === undefined ? {} : { fix: this.fix }),
    };
  }

  /** Rebuilds an error that a peer sent. An unknown code (a newer peer) becomes `INTERNAL`. */
  static fromJSON(json: unknown): DenimError {
    const from = (json ?? {}) as Partial<Record<keyof ErrorJson, unknown>>;
    const text = (value: unknown) => typeof value === "string" ? value : undefined;
    const code = text(from.code);
    const why = text(from.why);
    const fix = text(from.fix);
    return new DenimError(
      code !== undefined && Object.hasOwn(ERRORS, code) ? code as ErrorCode : "INTERNAL",
      text(from.message) ?? "The peer reported an error without a message",
      { ...(why === undefined ? {} : { why }), ...(fix === undefined ? {} : { fix }) },
    );
  }
}

export function isDenimError(error: unknown, ...codes: ErrorCode[]): error is DenimError {
  return error instanceof DenimError && (codes.length === 0 || codes.includes(error.code));
}

/** Any thrown value as a {@link DenimError}; what is not one already becomes `INTERNAL`. */
export function asDenimError(error: unknown): DenimError {
  if (error instanceof DenimError) return error;
  return new DenimError("INTERNAL", error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}

/**
 * For what may not happen in a correct program. Stays on in production: a wrong assumption that
 * stops one daemon is cheaper than one that spreads through a replicated log.
 */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`Assertion failed: ${message}`);
}
