import t from "tap";
import { seededRandom } from "../../src/base/random.ts";
import {
  createToken,
  decodeToken,
  encodeToken,
  hashSecret,
  inspectToken,
  secretMatches,
} from "../../src/transport/token.ts";

const pin = seededRandom(1).bytes(20);
const token = createToken("server", pin, seededRandom(2));
const text = encodeToken(token);

/** Printed in the design notes; made by another program. */
const KNOWN = "denim1_240tsvaqbpedzsr8ycamcnzndmgmgxa259d4pj0cywdd7aqxksy8jwgdhzmxqgm025djvng";

t.test("a token is one word of 78 characters and reads back", async (t) => {
  t.match(text, /^denim1_[0-9a-hjkmnp-tv-z]{71}$/);
  t.same(decodeToken(text), token);
  const agent = createToken("agent", pin, seededRandom(3));
  t.same(decodeToken(` ${encodeToken(agent)}\n`), agent);
});

t.test("a token made elsewhere from the same description is understood", async (t) => {
  const known = decodeToken(KNOWN);
  t.equal(known.role, "server");
  t.equal(encodeToken(known), KNOWN);
});

t.test("inspect shows everything but the secret", async (t) => {
  t.same(Object.keys(inspectToken(text)).sort(), ["caPin", "id", "role"]);
  t.equal(inspectToken(text).id, token.id);
});

t.test("every single wrong letter is found out", async (t) => {
  const letters = "0123456789abcdefghjkmnpqrstvwxyz";
  let accepted = 0;
  for (let at = 7; at < text.length; at++) {
    for (const letter of letters) {
      if (letter === text[at]) continue;
      try {
        decodeToken(text.slice(0, at) + letter + text.slice(at + 1));
        accepted++;
      } catch (error) {
        if ((error as { code?: string }).code !== "TOKEN_MALFORMED") throw error;
      }
    }
  }
  // 16 bits of checksum: of some two thousand changes, about one in 65,536 may pass.
  t.ok(accepted <= 1, `${accepted} accepted`);
});

t.test("a token that was read aloud is understood: upper case, i and l for 1, o for 0", async (t) => {
  t.same(decodeToken(text.toUpperCase()), token);
  const head = text.slice(0, 7);
  const spoken = head + text.slice(7).replaceAll("1", "l").replaceAll("0", "O");
  t.same(decodeToken(spoken), token);
});

t.test("what is no token is refused with the reason", async (t) => {
  const malformed = { code: "TOKEN_MALFORMED" };
  t.throws(() => decodeToken(""), malformed);
  t.throws(() => decodeToken("denim2_" + text.slice(7)), malformed);
  t.throws(() => decodeToken(text.slice(0, -1)), malformed);
  t.throws(() => decodeToken(text + "0"), malformed);
  t.throws(() => decodeToken(text.slice(0, -1) + "u"), malformed);
  t.throws(() => decodeToken(text.slice(0, -2) + "é0"), malformed);
});

t.test("only the right secret has the stored hash", async (t) => {
  const hash = hashSecret(token.secret);
  t.ok(secretMatches(token.secret, hash));
  t.notOk(secretMatches(seededRandom(9).bytes(16), hash));
  t.notOk(secretMatches(token.secret, hash.slice(1)));
});
