/**
 * The public face for backends: `import { defineBackend } from "denim/backend"`.
 *
 * @module
 */
export * from "./backend.ts";
export { DenimError } from "../base/errors.ts";
export * from "../ip/address.ts";
export * from "../ip/mac.ts";
export * from "../ip/prefix.ts";
export type { Hook, Invocation } from "../plan/hook.ts";
export { formatPlan } from "./plan-text.ts";
export type {
  ForwardingEntry,
  Link,
  LinkAddress,
  Neighbour,
  Route,
  Vxlan,
  Wanted,
} from "../plan/wanted.ts";
