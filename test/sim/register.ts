/** A register with compare-and-set, as the model that its histories are checked against. */
import type { Model } from "./wgl.ts";

/** What it holds; `nil` at first. */
export type Value = string;

/** An operation with its outcome. `refused` is a compare-and-set that found another value. */
export type RegisterOperation =
  | { readonly kind: "read"; readonly value: Value }
  | { readonly kind: "write"; readonly value: Value }
  | { readonly kind: "cas"; readonly from: Value; readonly to: Value }
  | { readonly kind: "refused"; readonly from: Value };

export const NIL: Value = "nil";

export const register: Model<RegisterOperation> = {
  initial: NIL,
  step(state, what) {
    switch (what.kind) {
      case "read":
        return what.value === state ? state : undefined;
      case "write":
        return what.value;
      case "cas":
        return what.from === state ? what.to : undefined;
      case "refused":
        return what.from === state ? undefined : state;
      default:
        return what satisfies never;
    }
  },
  looks: ({ kind }) => kind === "read" || kind === "refused",
  overwrites: ({ kind }) => kind === "write",
};
