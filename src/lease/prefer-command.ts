import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import type { CommandOf } from "./command.ts";
import { clusterOf, type Context, findNode } from "./context.ts";
import type { StateRecord } from "./records.ts";
import { theGroup } from "./state.ts";

/**
 * What an operator wants of a server. It stays so, and the planner follows it step by step; what
 * would leave the cluster with fewer voters is refused here, so that no entry may ask for it.
 */
export function preferNode(context: Context, command: CommandOf<"node.prefer">): Canonical {
  const record = findNode(context, command.node);
  const { preferred } = command;
  const { preferred: before, ...rest } = record.body;
  const answer = { node: record.key, name: record.body.name, preferred };
  if ((before ?? null) === preferred) return answer;
  if (preferred === "voter") refuseVoter(context, record);
  if (preferred === "standby") refuseStandby(context, record);
  context.draft.put("node", record.key, preferred === null ? rest : { ...rest, preferred });
  return answer;
}

function refuseVoter(context: Context, record: StateRecord<"node">): void {
  const { name, role, ephemeral, silent } = record.body;
  if (role !== "server" || ephemeral === true) {
    throw new DenimError("ROLE_REFUSED", `${name} cannot hold the log`, {
      why: role !== "server" ? "it joined as an agent" : "it is gone soon after it is last heard",
      fix: "let a host join with a token for servers: denim token create --role server",
    });
  }
  if (silent === true) {
    throw new DenimError("ROLE_REFUSED", `${name} is silent`, {
      why: "a voter that does not answer costs the others their majority sooner",
      fix: `start it first: on ${name}, systemctl start denim`,
    });
  }
  const { votersWanted } = clusterOf(context);
  const chosen = others(context, record).filter(({ body }) => body.preferred === "voter");
  if (chosen.length < votersWanted) return;
  throw new DenimError("ROLE_REFUSED", `${votersWanted} voters are chosen by hand already`, {
    why: chosen.map(({ body }) => body.name).sort().join(", "),
    fix: `leave one of them to Denim again: denim node auto ${chosen[0]!.body.name}`,
  });
}

/** Somebody has to be there for every vote that there is now. */
function refuseStandby(context: Context, record: StateRecord<"node">): void {
  const needed = theGroup(context.draft).voters.length;
  const able = others(context, record).filter(({ body }) =>
    body.role === "server" && body.ephemeral !== true && body.silent !== true &&
    body.preferred !== "standby"
  );
  if (able.length >= needed) return;
  throw new DenimError("ROLE_REFUSED", `${record.body.name} is needed as a voter`, {
    why: `there are ${needed} voters, and ${able.length} other servers that could be one`,
    fix: "bring another server up first, or leave its role to Denim",
  });
}

function others({ draft }: Context, record: StateRecord<"node">): StateRecord<"node">[] {
  return [...draft.all("node")].filter(({ key }) => key !== record.key);
}
