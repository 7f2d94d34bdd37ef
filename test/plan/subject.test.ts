import fc from "fast-check";
import t from "tap";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { formatSubject, type Subject, SubjectMap } from "../../src/plan/subject.ts";
import { forwarding, linkAddress, neighbour, vxlan } from "../support/links.ts";

const MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
const IPS = ["10.42.1.0", "0.0.0.0", "0.0.0.1", "255.255.255.255", "::", "::1", "fd42::a2a:100"];
const DEVICES = ["denim.1", "denim.2", ""];
const PREFIXES = ["0.0.0.0/0", "10.42.0.0/16", "10.42.0.0/24", "10.42.1.0/24", "::/0", "fd42::/48"];

const SUBJECTS: readonly Subject[] = [
  ...PREFIXES.map((text): Subject => ({ kind: "route", destination: parsePrefix(text) })),
  ...DEVICES.flatMap((device): Subject[] => [
    vxlan({ name: device }),
    ...MACS.map((mac) => forwarding(mac, "10.0.0.2", device)),
    ...IPS.flatMap((ip) => [linkAddress(`${ip}/32`, device), neighbour(ip, MACS[0]!, device)]),
  ]),
];

t.test("a thing is found by what it is known by, and by nothing else", async (t) => {
  const name = fc.constantFrom(...SUBJECTS);
  fc.assert(fc.property(fc.array(name), (subjects) => {
    const [ours, texts] = [new SubjectMap<number>(), new Map<string, number>()];
    subjects.forEach((subject, i) => {
      ours.set({ ...subject }, i);
      texts.set(formatSubject(subject), i);
    });
    const found = SUBJECTS.map((subject) => ours.get(subject));
    const wanted = SUBJECTS.map((subject) => texts.get(formatSubject(subject)));
    return JSON.stringify(found) === JSON.stringify(wanted) &&
      [...ours.values()].length === texts.size;
  }));
  t.equal(new Set(SUBJECTS.map(formatSubject)).size, SUBJECTS.length, "they are all different");
});

t.test("a value that is false is there", async (t) => {
  const map = new SubjectMap<boolean>();
  map.set(SUBJECTS[0]!, false);
  t.ok(map.has(SUBJECTS[0]!));
  t.notOk(map.has(SUBJECTS[1]!));
});
