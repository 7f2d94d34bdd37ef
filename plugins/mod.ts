import type { Backend } from "denim/backend";
import { alloc } from "./alloc/mod.ts";
import { extension } from "./extension/mod.ts";
import { hostGw } from "./host-gw/mod.ts";
import { vxlan } from "./vxlan/mod.ts";

/** The backends of this program, in the order in which they are shown. */
export const backends: readonly Backend[] = [hostGw, vxlan, extension, alloc];
