import { hex } from "../../base/bytes.ts";
import type { Random } from "../../base/random.ts";
import type { Incarnation, StateRecord } from "../../lease/records.ts";
import type { Store } from "../../store/store.ts";

/** Starts that are remembered until the cluster has recorded a newer one: what a hello can hold. */
const STARTS_MAX = 64;

/**
 * On disk before anything is said: a disk that was copied later cannot know this start. However
 * often a node starts without meeting its cluster, the start that the cluster knows stays named.
 */
export async function noteStart(
  store: Store,
  nodeId: string,
  random: Random,
): Promise<{ incarnation: Incarnation; starts: Incarnation[] }> {
  const { starts: { incarnations: before }, records } = store.loaded;
  const node = records.find(({ table, key }) => table === "node" && key === nodeId);
  const recorded = (node as StateRecord<"node"> | undefined)?.body.incarnation;
  const incarnation = {
    counter: Math.max(before.at(-1)?.counter ?? 0, recorded?.counter ?? 0) + 1,
    startId: hex(random.bytes(8)),
  };
  const newer = before.filter(({ counter }) => counter > (recorded?.counter ?? 0))
    .slice(2 - STARTS_MAX);
  const incarnations = [...recorded === undefined ? [] : [recorded], ...newer, incarnation];
  await store.write({ starts: { incarnations } });
  return { incarnation, starts: incarnations };
}
