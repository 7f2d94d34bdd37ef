/**
 * Loaded before a simulation (`node --import`): puts one mutant into the program, named by
 * `DENIM_MUTANT`. The program itself has no switches for that.
 */
import { registerHooks } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { root } from "../support/root.ts";
import { MUTANTS } from "./mutants.ts";

const mutant = MUTANTS.find(({ name }) => name === process.env.DENIM_MUTANT);
if (mutant === undefined) throw new Error(`there is no mutant "${process.env.DENIM_MUTANT}"`);

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    const edits = mutant.edits.filter(({ file }) => pathToFileURL(join(root, file)).href === url);
    if (edits.length === 0) return loaded;
    let text = String(loaded.source);
    for (const { file, find, replace } of edits) {
      if (text.split(find).length !== 2) {
        throw new Error(`mutant ${mutant.name}: "${find}" is not in ${file} exactly once`);
      }
      text = text.replace(find, () => replace);
    }
    return { ...loaded, source: text };
  },
});
