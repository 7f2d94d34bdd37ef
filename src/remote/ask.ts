import { DenimError, isDenimError } from "../base/errors.ts";
import type { CallOptions } from "../lease/cluster.ts";
import type { Channel } from "../transport/channel.ts";

export function signalOf({ signal }: CallOptions): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** @throws the refusal; `OUTCOME_UNKNOWN` where the other side may have acted */
export async function ask(
  channel: Channel,
  kind: string,
  body: unknown,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<unknown> {
  try {
    return await channel.request(kind, body, options);
  } catch (error) {
    if (!isDenimError(error, "CONNECTION_LOST", "TIMEOUT", "CANCELLED")) throw error;
    throw new DenimError("OUTCOME_UNKNOWN", "The change may or may not have been made", {
      why: error.message,
      fix: "look before you repeat it: denim status",
      cause: error,
    });
  }
}
