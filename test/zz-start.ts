import { run } from "./bench/start.ts";
const r = await run({ tiny: process.argv.includes("--tiny") });
for (const x of r.rows) console.log(x);
process.exit(0);
