import { request, type RequestOptions } from "node:http";
import { DenimError, isDenimError } from "../base/errors.ts";

export interface CallOptions {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** `TIMEOUT` when nothing comes for so long. Without it the answer may take any time. */
  readonly timeoutMs?: number;
}

/** A client of a daemon's unix socket. */
export class ApiClient {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** @throws what the daemon answered; `DAEMON_UNREACHABLE` */
  async call(path: string, options: CallOptions = {}): Promise<unknown> {
    return JSON.parse(await this.download(path, options)) as unknown;
  }

  /** An answer that is no JSON. @throws what the daemon answered; `DAEMON_UNREACHABLE` */
  async download(path: string, options: CallOptions = {}): Promise<string> {
    const { status, text } = await this.text(path, options);
    if (status >= 400) throw errorOf(text, status);
    return text;
  }

  /** The answer as it came, whatever its status. @throws `DAEMON_UNREACHABLE` */
  async text(
    path: string,
    options: CallOptions = {},
  ): Promise<{ readonly status: number; readonly text: string }> {
    let text = "";
    const status = await this.#send(path, options, (chunk) => (text += chunk));
    return { status, text };
  }

  /**
   * Server-sent events, until the daemon or `signal` ends them.
   *
   * @throws what the daemon answered; `DAEMON_UNREACHABLE`
   */
  async events(
    path: string,
    onEvent: (event: { readonly name: string; readonly id: string; readonly data: string }) => void,
    signal: AbortSignal,
  ): Promise<void> {
    let rest = "";
    let all = "";
    const status = await this.#send(path, { headers: { accept: "text/event-stream" } }, (chunk) => {
      all = all.length < 10_000 ? all + chunk : all;
      const blocks = (rest + chunk).split("\n\n");
      rest = blocks.pop()!;
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, "m").exec(block)?.[1];
        const name = field("event");
        if (name !== undefined) onEvent({ name, id: field("id") ?? "", data: field("data") ?? "" });
      }
    }, signal);
    if (status >= 400) throw errorOf(all, status);
  }

  #send(
    path: string,
    { method = "GET", body, headers = {}, timeoutMs }: CallOptions,
    onText: (chunk: string) => void,
    signal?: AbortSignal,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      const options: RequestOptions = {
        socketPath: this.#socketPath,
        ...{ path, method },
        headers: {
          host: "localhost",
          ...(body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }),
          ...headers,
        },
        ...(signal === undefined ? {} : { signal }),
        ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
      };
      const sent = request(options, (response) => {
        response.setEncoding("utf8");
        response.on("data", onText);
        response.once("end", () => resolve(response.statusCode ?? 500));
        response.once("error", (error) => {
          if (signal?.aborted) resolve(200);
          else reject(hungUp(error));
        });
      });
      // The runtime's own patience with idle connections ends with the same event.
      if (timeoutMs !== undefined) {
        sent.once("timeout", () => sent.destroy(hung(this.#socketPath, timeoutMs)));
      }
      sent.once("error", (error: NodeJS.ErrnoException) => {
        if (signal?.aborted) resolve(200);
        else if (isDenimError(error)) reject(error);
        else reject(unreachable(this.#socketPath, error));
      });
      sent.end(body);
    });
  }
}

function hung(socketPath: string, timeoutMs: number): DenimError {
  return new DenimError("TIMEOUT", "The denim daemon does not answer", {
    why: `${socketPath} took the question, and said nothing for ${timeoutMs} ms`,
    fix: "see what it does: its log; then restart it, which leaves routes and containers alone",
  });
}

function hungUp(cause: Error): DenimError {
  return new DenimError("CONNECTION_LOST", "The denim daemon hung up in the middle of its answer", {
    why: cause.message,
    fix: "see whether it still runs: denim status",
    cause,
  });
}

function unreachable(socketPath: string, cause: NodeJS.ErrnoException): DenimError {
  const denied = cause.code === "EACCES" || cause.code === "EPERM";
  return new DenimError(
    denied ? "PERMISSION_DENIED" : "DAEMON_UNREACHABLE",
    denied ? `Cannot open ${socketPath}` : "The denim daemon does not answer",
    {
      why: cause.code === "ENOENT"
        ? `there is no ${socketPath}`
        : cause.code === "ECONNREFUSED"
        ? `nobody listens at ${socketPath}`
        : cause.message,
      fix: denied
        ? "run as root, or as a member of the group denim"
        : "start it (denim run, denim init, denim join), or name its socket: --socket PATH",
      cause,
    },
  );
}

/** The daemon's own words, or at least what it answered. */
function errorOf(text: string, status: number): DenimError {
  try {
    const { code, title, detail, fix } = JSON.parse(text) as Record<string, unknown>;
    return DenimError.fromJSON({ code, message: title, why: detail, fix });
  } catch {
    return new DenimError("INTERNAL", `The daemon answered ${status}`, { why: text.slice(0, 200) });
  }
}
