import t from "tap";
import { formatNftTable, nftTableOf, readNftTables } from "../../src/plan/nftables.ts";
import { FOUR, SIX } from "./golden.ts";

t.test("a table of ours is known by its name alone, whatever its network", async (t) => {
  const tables = [FOUR, SIX].map(({ network }) => nftTableOf(network));
  const listed = [
    "table ip nat",
    ...tables.map((table) => `table ${formatNftTable(table)}`),
    "table ip denim-10.9.0.0-20",
    "table ip denim",
    "table ip denim-of-cotton",
    "table inet denim-10.9.0.0-16",
    "table ip my-denim-10.9.0.0-16",
    "",
  ].join("\n");
  t.same(readNftTables(listed), [...tables, { family: 4, name: "denim-10.9.0.0-20" }]);
  t.same(readNftTables(""), []);
});
