/**
 * Loaded before the program (`node --import`): makes it the Denim after this one, which supports one
 * feature level more. The program itself has no switch for that.
 */
import { registerHooks } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./root.ts";

const FILE = pathToFileURL(join(root, "src/lease/feature-level.ts")).href;
const NOW = "export const FEATURES: FeatureRange = { min: 1, max: 1 };";
const NEXT = "export const FEATURES: FeatureRange = { min: 1, max: 2 };";

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (url !== FILE) return loaded;
    const text = String(loaded.source);
    if (!text.includes(NOW)) throw new Error(`"${NOW}" is not in ${FILE}`);
    return { ...loaded, source: text.replace(NOW, NEXT) };
  },
});
