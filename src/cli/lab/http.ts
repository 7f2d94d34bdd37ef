import { request } from "node:http";
import { DenimError } from "../../base/errors.ts";

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Where an API listens: a unix socket, or a port of this machine's loopback. */
export type ApiPlace = { readonly socketPath: string } | { readonly port: number };

/** One GET. Rejects with `DAEMON_UNREACHABLE` when nobody answers. */
export function get(
  place: ApiPlace,
  path: string,
  options: { timeoutMs: number } = { timeoutMs: 5_000 },
): Promise<Answer> {
  const at = "port" in place ? { host: "127.0.0.1", port: place.port } : place;
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(
        new DenimError("DAEMON_UNREACHABLE", `No answer to GET ${path}`, {
          why: cause.message,
          cause,
        }),
      );
    const asked = request({ ...at, path, timeout: options.timeoutMs, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => void (text += part));
      answer.once("end", () => resolve({ status: answer.statusCode ?? 0, text }));
      answer.once("error", fail);
    });
    asked.once("timeout", () => asked.destroy(new Error("it takes too long")));
    asked.once("error", fail);
    asked.end();
  });
}

/** The same, as JSON. Rejects with what the API said when that is an error. */
export async function getJson(place: ApiPlace, path: string): Promise<unknown> {
  const { status, text } = await get(place, path);
  if (status === 200) return JSON.parse(text);
  throw new DenimError("CHECKS_FAILED", `GET ${path} was answered ${status}`, { why: text });
}
