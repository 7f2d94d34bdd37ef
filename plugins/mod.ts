import type { Backend } from "denim/backend";
import { hostGw } from "./host-gw/mod.ts";

/** The backends of this program, in the order in which they are shown. */
export const backends: readonly Backend[] = [hostGw];
