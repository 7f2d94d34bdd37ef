import { createHash } from "node:crypto";
import t from "tap";
import { decodeBackup, encodeBackup } from "../../src/store/backup.ts";
import { backup } from "../support/backup.ts";

t.test("a backup is read back as it was written, and is lines of JSON", async (t) => {
  const made = backup();
  const text = encodeBackup(made);
  t.same(decodeBackup(text), made);
  const { nodes, leases, records } = made.manifest.counts;
  t.same([nodes, leases], [3, 3]);
  const lines = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  t.equal(lines.length, records + 2);
  t.equal(lines[0].denim, "backup");
});

t.test("a backup that was cut off, or changed in one place, is none", async (t) => {
  const text = encodeBackup(backup());
  const places = [0, 40, 200, Math.floor(text.length / 2), text.length - 30];
  const changed = places.map((at) =>
    text.slice(0, at) + (text[at] === "x" ? "y" : "x") + text.slice(at + 1)
  );
  const cut = [0, 1, 100, text.length - 80, text.length - 1].map((end) => text.slice(0, end));
  const lines = text.split("\n");
  const shorter = [...lines.slice(0, 3), ...lines.slice(4)].join("\n");
  for (const wrong of [...changed, ...cut.slice(0, -1), shorter, `${text}{}\n`, "{}", "\n\n"]) {
    t.throws(() => decodeBackup(wrong), { code: "BACKUP_DAMAGED", fix: /earlier backup/ });
  }
  t.doesNotThrow(() => decodeBackup(cut.at(-1)!), "the last line's end is no part of it");
});

/** Whoever changes a backup can make its digest fit. */
function signed(lines: readonly object[]): string {
  const body = `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`;
  const sha256 = createHash("sha256").update(body).digest("hex");
  return `${body}${JSON.stringify({ sha256 })}\n`;
}

t.test("what is inside has to fit as well", async (t) => {
  const { manifest, records } = backup();
  const [first, ...others] = records;
  const odd = { ...first!, table: "novel" };
  const cases: readonly (readonly [readonly object[], string, RegExp])[] = [
    [[manifest, ...others], "BACKUP_DAMAGED", /digest of the state/],
    [[manifest, odd, ...others], "BACKUP_DAMAGED", /a record of "novel"/],
    [[{ ...manifest, time: 7 }, ...records], "BACKUP_DAMAGED", /time/],
    [[{ ...manifest, format: 2 }, ...records], "UPGRADE_NEEDED", /format 2/],
    [[{ ...manifest, denim: "b" }, ...records], "BACKUP_DAMAGED", /not a backup/],
  ];
  for (const [lines, code, why] of cases) {
    t.throws(() => decodeBackup(signed(lines)), { code, why });
  }
});
