import t from "tap";
import { configsIn } from "../../../src/backend/contract/readme.ts";

t.test("a README's network configs of that backend are its examples", async (t) => {
  const block = (text: string) => "```json\n" + text + "\n```\n";
  const readme = [
    "# mine\n",
    block('{ "Network": "10.0.0.0/8", "Backend": { "Type": "Mine", "Port": 7 } }'),
    block('{ "Network": "10.0.0.0/8", "Backend": { "Type": "other" } }'),
    block('{ "Port": 7 }'),
    block("{ not JSON"),
    '```text\n{ "Backend": { "Type": "mine" } }\n```\n',
  ].join("\n");
  t.same(configsIn(readme, "mine"), [{ Type: "Mine", Port: 7 }]);
  t.same(configsIn("", "mine"), []);
});
