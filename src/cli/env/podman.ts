import type { SubnetEnvRead } from "../../lease/subnet-env.ts";
import { blocksOf, command, type Form, subnetFlags } from "./recipe.ts";

/** A network of Podman's, for containers of root. */
export function podmanNetwork(env: SubnetEnvRead): Form {
  const mtu = env.mtu === undefined ? [] : [`--opt mtu=${env.mtu}`];
  return {
    name: "network",
    title: "a network of its own, beside Podman's default",
    steps: [
      { run: command("podman network create", ...subnetFlags(blocksOf(env)), ...mtu, "denim") },
      { run: "podman run --network denim IMAGE" },
    ],
    notes: [
      "nothing restarts; other networks and containers stay as they are",
      "Podman masquerades what leaves its bridge: on other hosts containers see this host",
      "containers of other users than root have networks of their own, and cannot be in it",
      "if this host's subnet changes: podman network rm denim, and create it again",
    ],
  };
}
