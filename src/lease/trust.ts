import { type Ca, SINGLE, type StateRecord, type TrustBody } from "./records.ts";
import type { StateReader } from "./state.ts";

/** How far the cluster is with putting one CA in the place of another. */
export interface Rotation {
  /** Every node learns to believe the new CA; then every node gets a certificate of it. */
  readonly phase: "spreading" | "renewing";
  readonly former: Ca;
  readonly next: Ca;
  /** Nodes that the present phase still waits for. */
  readonly missing: readonly StateRecord<"node">[];
}

/** Absent in a cluster whose CA is the one that it was founded with. */
export function theTrust(state: StateReader): TrustBody | undefined {
  return state.get("trust", SINGLE)?.body;
}

/** The CAs that are believed, the one that signs first; `undefined` as {@link theTrust}. */
export function believedCas(state: StateReader): readonly Ca[] | undefined {
  const trust = theTrust(state);
  if (trust === undefined) return undefined;
  const signs = (ca: Ca) => ca.id === trust.signer;
  return [...trust.cas.filter(signs), ...trust.cas.filter((ca) => !signs(ca))];
}

/** The rotation under way, if there is one. */
export function rotationOf(state: StateReader): Rotation | undefined {
  const trust = theTrust(state);
  if (trust === undefined || trust.cas.length < 2) return undefined;
  const [former, next] = trust.cas as readonly [Ca, Ca];
  const phase = trust.signer === next.id ? "renewing" : "spreading";
  const missing = [...state.all("node")].filter(({ body }) => {
    if (trust.leavesSilent === true && body.silent === true) return false;
    return phase === "spreading"
      ? body.trust?.cas.includes(next.id) !== true
      : body.trust?.issuer !== next.id;
  });
  return { phase, former, next, missing };
}
