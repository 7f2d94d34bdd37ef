/**
 * The public face for backends: `import { defineBackend } from "denim/backend"`.
 *
 * @module
 */
export * from "./backend.ts";
export { DenimError } from "../base/errors.ts";
export * from "../ip/address.ts";
export * from "../ip/prefix.ts";
export type { Route, Wanted } from "../plan/kernel.ts";
