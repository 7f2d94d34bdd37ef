import "../../src/transport/reflect.ts";
import * as x509 from "@peculiar/x509";
import t from "tap";
import { systemClock } from "../../src/base/clock.ts";
import { csrKeyId, proveCsr } from "../../src/transport/csr.ts";
import { createCsr, createKey, issueCertificate } from "../../src/transport/pki.ts";
import { testCluster } from "../support/pki.ts";

const refused = { code: "REQUEST_INVALID" };

function bytesOf(csr: string): Uint8Array {
  return Uint8Array.from(atob(csr.split("\n").slice(1, -2).join("")), (c) => c.charCodeAt(0));
}

function pemOf(bytes: Uint8Array): string {
  const body = btoa(String.fromCharCode(...bytes));
  return `-----BEGIN CERTIFICATE REQUEST-----\n${body}\n-----END CERTIFICATE REQUEST-----\n`;
}

t.test("the same key asks under the same name, another under another", async (t) => {
  const key = await createKey();
  t.equal(csrKeyId(await createCsr(key)), csrKeyId(await createCsr(key)));
  t.not(csrKeyId(await createCsr(key)), csrKeyId(await createCsr(await createKey())));
});

t.test("what is proven is the key that another reader finds in the request", async (t) => {
  const csr = await createCsr(await createKey());
  const { publicKey } = new x509.Pkcs10CertificateRequest(csr);
  t.same([...proveCsr(csr).spki], [...new Uint8Array(publicKey.rawData)]);
});

t.test("a request in which anything was changed is refused", async (t) => {
  const csr = await createCsr(await createKey());
  const bytes = bytesOf(csr);
  t.doesNotThrow(() => proveCsr(pemOf(bytes)));
  // The algorithm's name, 12 bytes, is not looked at: there is only one that will do.
  const algorithm = bytes.findIndex((_, i) => String(bytes.subarray(i, i + 4)) === "48,10,6,8");
  t.ok(algorithm > 0);
  for (let at = 0; at < bytes.length; at++) {
    if (at >= algorithm && at < algorithm + 12) continue;
    const forged = Uint8Array.from(bytes);
    forged[at]! ^= 1;
    t.throws(() => proveCsr(pemOf(forged)), refused, `byte ${at}`);
  }
});

t.test("what is no request, or no whole one, is refused", async (t) => {
  const bytes = bytesOf(await createCsr(await createKey()));
  for (const length of [0, 1, 2, 40, bytes.length - 1]) {
    t.throws(() => proveCsr(pemOf(bytes.subarray(0, length))), refused);
  }
  t.throws(() => proveCsr(pemOf(Uint8Array.from([...bytes, 0]))), refused);
  t.throws(() => csrKeyId("nonsense"), refused);
  const { ca } = await testCluster();
  const wanted = { clusterId: "amber", nodeId: "n-1", role: "agent" } as const;
  await t.rejects(issueCertificate(ca, "nonsense", wanted, systemClock()), refused);
});

t.test("a key of another curve is refused", async (t) => {
  const algorithm = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    ...{ name: "CN=denim node", keys, signingAlgorithm: algorithm },
  });
  t.throws(() => proveCsr(request.toString("pem")), { ...refused, why: /not P-256/ });
});
