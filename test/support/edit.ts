/**
 * Loaded before a daemon (`node --import`): runs it with another text in some of its files, as
 * `DENIM_EDITS` has them: a certificate's life is 90 days, and the program has no switch for that.
 */
import { registerHooks } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { root } from "./root.ts";

export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const edits = JSON.parse(process.env["DENIM_EDITS"] ?? "[]") as readonly Edit[];

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    let text: string | undefined;
    for (const { file, find, replace } of edits) {
      if (pathToFileURL(join(root, file)).href !== url) continue;
      text ??= String(loaded.source);
      if (text.split(find).length !== 2) throw new Error(`"${find}" is not in ${file} once`);
      text = text.replace(find, () => replace);
    }
    return text === undefined ? loaded : { ...loaded, source: text };
  },
});
