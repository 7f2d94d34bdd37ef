import t from "tap";
import { DenimError } from "../../src/base/errors.ts";
import {
  type Column,
  renderError,
  renderErrorJson,
  renderJson,
  renderTable,
  textWidth,
} from "../../src/cli/output.ts";

interface Row {
  readonly node: string;
  readonly leases: number | undefined;
  readonly note: string;
}

const columns: readonly Column<Row>[] = [
  { title: "NODE", text: ({ node }) => node },
  { title: "LEASES", text: ({ leases }) => leases, align: "right" },
  { title: "NOTE", text: ({ note }) => note, shrinks: true },
];

const rows: readonly Row[] = [
  { node: "web1", leases: 12, note: "leader" },
  { node: "db-with-a-long-name", leases: undefined, note: "" },
];

t.test("a table lines up, has no borders and no blanks at the end", async (t) => {
  t.same(renderTable(columns, rows).split("\n"), [
    "NODE                  LEASES   NOTE",
    "web1                      12   leader",
    "db-with-a-long-name        –",
    "",
  ]);
});

t.test("a table of nothing still says what it would show", async (t) => {
  t.equal(renderTable(columns, []), "NODE   LEASES   NOTE\n");
});

t.test("a narrow terminal cuts only the columns that may be cut", async (t) => {
  const long = [{ node: "web1", leases: 1, note: "a very long note about this node" }];
  const table = renderTable(columns, long, 30);
  t.match(table, /a very long n…\n$/);
  t.ok(table.split("\n").every((line) => textWidth(line) <= 30), table);
  t.match(renderTable(columns, rows, 10), /db-with-a-long-name/);
});

t.test("wide letters take two columns, and control characters never reach a terminal", async (t) => {
  t.equal(textWidth("web1"), 4);
  t.equal(textWidth("日本"), 4);
  t.equal(textWidth("e\u0301"), 1);
  const odd = [{ node: "\u001b[31mred\nrow", leases: 1, note: "" }];
  t.notOk(renderTable(columns, odd).includes("\u001b"));
  t.equal(renderTable(columns, odd).split("\n").length, 3);
});

t.test("an error says what, why, fix and code", async (t) => {
  const full = new DenimError("LEASE_TAKEN", "taken", { why: "web1 has it", fix: "wait" });
  t.equal(
    renderError(full),
    "error: taken\n  why   web1 has it\n  fix   wait\n  code  LEASE_TAKEN\n",
  );
  t.equal(renderError(new DenimError("TIMEOUT", "late")), "error: late\n  code  TIMEOUT\n");
  const json = JSON.parse(renderErrorJson(full));
  t.same(json, {
    error: { code: "LEASE_TAKEN", message: "taken", why: "web1 has it", fix: "wait", exit: 7 },
  });
});

t.test("JSON is one object with a line end", async (t) => {
  t.equal(renderJson({ a: 1 }), '{\n  "a": 1\n}\n');
});
