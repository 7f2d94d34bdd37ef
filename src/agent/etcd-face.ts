import { DenimError, isDenimError } from "../base/errors.ts";
import type { EtcdOptions, EtcdSource } from "../etcd/v2.ts";
import { CONFIRMED_MS } from "./data/data-plane.ts";
import type { Node } from "./node.ts";
import type { EtcdSettings } from "./settings.ts";

/** What this node tells who asks it in etcd's words. */
export function etcdSource(node: () => Node | undefined): EtcdSource {
  const present = (): Node => {
    const found = node();
    if (found !== undefined) return found;
    throw new DenimError("NOT_FOUND", "This host is in no cluster yet");
  };
  return {
    read: async (level) => await present().control.cluster.read(level),
    self: () => {
      const { nodeId, name } = present().record;
      return { id: nodeId, name };
    },
    term: () => node()?.control.replica?.status().term,
    hasLeader: () => {
      const ageMs = node()?.control.cluster.view()?.leaderAgeMs;
      return ageMs !== undefined && ageMs < CONFIRMED_MS;
    },
  };
}

/** @throws `PORT_IN_USE` `PERMISSION_DENIED`, where it is required */
export async function openEtcd(
  stack: AsyncDisposableStack,
  { host, port, prefix, isRequired }: EtcdSettings,
  face: Omit<EtcdOptions, "prefix">,
): Promise<void> {
  const [{ createEtcdApi }, { listenOnPort }] = await Promise.all([
    import("../etcd/v2.ts"),
    import("../api/listen.ts"),
  ]);
  try {
    const app = createEtcdApi({ ...face, prefix });
    stack.use(await listenOnPort(app, host, port, "--etcd-listen HOST:PORT"));
  } catch (error) {
    if (isRequired || !isDenimError(error)) throw error;
    const { message, why } = error;
    face.logger.warn(message, { why, fix: "--etcd-listen HOST:PORT, or --etcd-listen off" });
  }
}
