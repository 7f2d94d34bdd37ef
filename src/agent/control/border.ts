/**
 * What other nodes say, read strictly before it goes anywhere: what is in the log once is applied
 * by every server, and one record that cannot be read would be everybody's trouble.
 */
import * as v from "valibot";
import { readBody } from "../../api/query.ts";
import { tryParseAddress } from "../../ip/address.ts";
import { tryParsePrefix } from "../../ip/prefix.ts";
import type { Command } from "../../lease/command.ts";
import { BACKEND_DATA_MAX } from "../../lease/records.ts";
import { tryParseEndpoint } from "../../transport/address.ts";
import { ZONE } from "../settings.ts";

const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const word = v.pipe(v.string(), v.minLength(1), v.maxLength(128));
const is = (what: string, read: (text: string) => unknown) =>
  v.pipe(
    v.string(),
    v.maxLength(256),
    v.check((text) => read(text) !== undefined, `it is not ${what}`),
  );

export const ipSchema = is("an IP address", tryParseAddress);
export const endpointSchema = is("an address of a node", tryParseEndpoint);
const subnets = v.pipe(v.array(is("a CIDR block", tryParsePrefix)), v.maxLength(4));

export const featuresSchema = v.object({ min: whole, max: whole });

/** What a host may be called. */
export const nameSchema = v.pipe(
  v.string(),
  v.regex(
    /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/i,
    "a name has letters, digits, dots and hyphens, 63 at most",
  ),
);

/** What fails together: the planner spreads voters over zones. */
export const zoneSchema = v.pipe(
  v.string(),
  v.regex(ZONE, "a zone has letters, digits and . _ / -, 63 at most"),
);

/** What a node tells its peers of itself. */
export const attributeEntries = {
  publicIp: ipSchema,
  publicIpv6: v.optional(ipSchema),
  backendType: v.pipe(v.string(), v.maxLength(64)),
  /** JSON text, as the backend published it. */
  backendData: v.pipe(v.string(), v.maxLength(BACKEND_DATA_MAX), v.check(isJson, "it is not JSON")),
};

const attributes = v.object(attributeEntries);
const epoch = v.object({ n: whole, random: word });

/** What an agent may ask for: see `lease/authorize.ts`. Its own name is checked there. */
const agentCommandSchema = v.variant("kind", [
  v.object({
    kind: v.literal("lease.acquire"),
    node: word,
    attributes,
    wish: v.optional(subnets),
  }),
  v.object({
    kind: v.literal("lease.renew"),
    node: word,
    subnets,
    attributes: v.optional(attributes),
  }),
  v.object({
    kind: v.literal("lease.claim"),
    ...{ node: word, subnets, attributes, epoch, revision: whole, locallyValid: v.boolean() },
  }),
  v.object({
    kind: v.literal("lease.release"),
    ...{ node: word, subnets, revision: v.optional(whole) },
  }),
  v.object({
    kind: v.literal("node.update"),
    node: word,
    incarnation: v.optional(v.object({ counter: whole, startId: word })),
    address: v.optional(endpointSchema),
    version: v.optional(v.pipe(v.string(), v.maxLength(64))),
    features: v.optional(featuresSchema),
    trust: v.optional(v.object({ cas: v.pipe(v.array(word), v.maxLength(8)), issuer: word })),
    zone: v.optional(v.union([v.literal(""), zoneSchema])),
  }),
  v.object({
    kind: v.literal("node.readmit"),
    ...{ node: word, name: nameSchema, role: v.literal("agent"), address: endpointSchema },
    version: v.pipe(v.string(), v.maxLength(64)),
    features: featuresSchema,
  }),
  v.object({ kind: v.literal("node.leave"), node: word, keepLease: v.optional(v.boolean()) }),
  v.object({ kind: v.literal("cluster.fork-seen"), epoch, other: epoch }),
]);

/** @throws `REQUEST_INVALID` */
export function readAgentCommand(body: unknown): Command {
  // The schema's members are the command's, some of them spelled `T | undefined`.
  return readBody(agentCommandSchema, body, "The command") as Command;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
