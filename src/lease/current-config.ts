import { type NetworkConfig, parseNetworkConfig } from "./network.ts";
import { SINGLE, type StateRecord } from "./records.ts";
import type { StateReader } from "./state.ts";

/** Records are immutable: what was read from one stays true for as long as it lives. */
const read = new WeakMap<StateRecord<"network">, NetworkConfig>();

/** The network config in force; `undefined` before there is a cluster. */
export function currentConfig(state: StateReader): NetworkConfig | undefined {
  const record = state.get("network", SINGLE);
  if (record === undefined) return undefined;
  const known = read.get(record);
  if (known !== undefined) return known;
  const config = parseNetworkConfig(record.body.config, { unknownKeys: "keep" });
  read.set(record, config);
  return config;
}
