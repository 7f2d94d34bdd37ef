import t from "tap";
import { isMac, isUnicast, localMac, macBytes, macFromBytes } from "../../src/ip/mac.ts";

t.test("six octets in lower case are a MAC address, and nothing else is", async (t) => {
  t.ok(isMac("02:42:0a:f4:01:00"));
  for (
    const text of ["", "02:42:0a:f4:01", "02:42:0A:f4:01:00", "02-42-0a-f4-01-00", "2:42:a:f4:1:0"]
  ) {
    t.notOk(isMac(text), text);
  }
});

t.test("text and bytes say the same", async (t) => {
  const bytes = Uint8Array.of(2, 0x42, 10, 0xf4, 1, 0);
  t.equal(macFromBytes(bytes), "02:42:0a:f4:01:00");
  t.same([...macBytes("02:42:0a:f4:01:00")], [...bytes]);
});

t.test("one for many, and one for nobody, is no station's", async (t) => {
  t.ok(isUnicast("02:00:00:00:00:00"));
  t.notOk(isUnicast("01:00:5e:00:00:01"));
  t.notOk(isUnicast("00:00:00:00:00:00"));
  t.ok(isUnicast("00:00:00:00:00:01"));
  for (let octet = 0; octet < 256; octet++) {
    const mac = macFromBytes(Uint8Array.of(octet, 0, 0, 0, 0, 9));
    t.equal(isUnicast(mac), (octet & 1) === 0, mac);
  }
  t.notOk(isUnicast(""));
});

t.test("any bytes make an address of a station that nobody has been sold", async (t) => {
  t.equal(localMac(new Uint8Array(32).fill(0xff)), "fe:ff:ff:ff:ff:ff");
  t.equal(localMac(new Uint8Array(6)), "02:00:00:00:00:00");
});
