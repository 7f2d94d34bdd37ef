import t from "tap";
import { seededRandom } from "../../src/base/random.ts";
import { seal, unseal } from "../../src/store/seal.ts";

// Each turn of the key takes its time, on purpose: so there is one box for all.
const sealed = await seal("the key", "correct hors\u00e9", "cluster 1", seededRandom(1));

t.test("what is sealed opens with its passphrase, for what it was sealed for", async (t) => {
  t.notOk(JSON.stringify(sealed).includes("the key"));
  // Typed elsewhere, a letter may come as two characters.
  t.equal(await unseal(sealed, "correct horse\u0301", "cluster 1"), "the key");
});

t.test("nothing else opens it", async (t) => {
  const text = `${sealed.text[0] === "A" ? "B" : "A"}${sealed.text.slice(1)}`;
  const code = "PASSPHRASE_WRONG";
  await t.rejects(unseal(sealed, "correct horse", "cluster 1"), { code, fix: /--new-ca/ });
  await t.rejects(unseal(sealed, "correct hors\u00e9", "cluster 2"), { code });
  await t.rejects(unseal({ ...sealed, text }, "correct hors\u00e9", "cluster 1"), { code });
});
