import { Hono } from "hono";
import { DenimError } from "../base/errors.ts";
import { tryParseAddress } from "../ip/address.ts";
import { containsAddress, formatPrefix, parsePrefix, tryParsePrefix } from "../ip/prefix.ts";
import { consistencyOf, onlyKnown, subnetInPath } from "./query.ts";
import type { LeaseView, Service } from "./service.ts";

/** Who has which subnet. */
export function leaseRoutes(service: Service): Hono {
  const app = new Hono();
  const show = ({ revision, ...lease }: LeaseView) => ({ ...lease, revision: String(revision) });
  app.get("/", async (context) => {
    onlyKnown(context, ["consistency", "node", "contains"]);
    const { node, contains } = context.req.query();
    const address = contains === undefined ? undefined : tryParseAddress(contains);
    if (contains !== undefined && address === undefined) {
      throw new DenimError("REQUEST_INVALID", `"${contains}" is not an address`);
    }
    const leases = (await service.leases(consistencyOf(context)))
      .filter((lease) => node === undefined || lease.node === node || lease.nodeName === node)
      .filter((lease) =>
        address === undefined ||
        lease.subnets.some((subnet) => containsAddress(parsePrefix(subnet), address))
      );
    return context.json({ items: leases.map(show) });
  });
  app.get("/:subnet", async (context) => {
    onlyKnown(context, ["consistency"]);
    const text = subnetInPath(context.req.param("subnet"));
    const subnet = tryParsePrefix(text);
    const leases = await service.leases(consistencyOf(context));
    const lease = subnet && leases.find(({ subnets }) => subnets.includes(formatPrefix(subnet)));
    if (lease === undefined) throw new DenimError("NOT_FOUND", `${text} is not leased`);
    return context.json(show(lease));
  });
  return app;
}
