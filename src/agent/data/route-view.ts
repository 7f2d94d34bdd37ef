import { formatAddress } from "../../ip/address.ts";
import { formatPrefix } from "../../ip/prefix.ts";
import { formatInvocation } from "../../plan/hook.ts";
import type { Item } from "../../plan/difference.ts";
import { formatSubject, type Subject } from "../../plan/subject.ts";
import { formatWanted } from "../../plan/text.ts";
import type { HookRunner, HookView } from "./hook-runner.ts";
import type { Pass } from "./reconcile.ts";

/** One route of this node, or what it needs in the kernel, as others may see it. */
export interface RouteView {
  readonly kind: Subject["kind"] | "hook";
  /** The destination of a route, or a subnet that commands look after; else what it is and where. */
  readonly about: string;
  /** Of a route. */
  readonly via: string | undefined;
  readonly device: string | undefined;
  readonly state: "ok" | "missing" | "different" | "extra" | "conflict" | "failed" | "left-out";
  /** What should be in the kernel, in the words of `ip`, or what is to be run; `null`: nothing. */
  readonly wanted: string | null;
  /** What was there when it was last looked at and set right. */
  readonly programmed: string | null;
  readonly error?: string;
}

/** How everything stands after a pass. */
export function routeViews(pass: Pass): RouteView[] {
  const failed = new Map(
    pass.outcomes.map(({ change, error }) => [formatSubject(change.item), error]),
  );
  const left = pass.leftOut.map(({ destination, why }): RouteView => ({
    ...{ kind: "route", about: formatPrefix(destination), via: undefined, device: undefined },
    ...{ state: "left-out", wanted: null, programmed: null, error: why },
  }));
  const views = pass.items.flatMap((item): RouteView[] => {
    const about = formatSubject(item.about);
    const error = failed.get(about);
    const settled = failed.has(about) && error === undefined;
    if (settled && item.state === "extra") return [];
    return [viewOf(item, { settled, error })];
  });
  return [...views, ...left];
}

/** How the subnets stand that commands look after. */
export function hookViews(runner: Pick<HookRunner, "views">): RouteView[] {
  return runner.views().map(({ key, hook, standing, state, why }): RouteView => {
    const text = (of: HookView["standing"] | HookView["hook"]) =>
      of?.add === undefined ? null : formatInvocation(of.add);
    return {
      kind: "hook",
      about: hook === undefined ? key : formatPrefix(hook.destination),
      via: undefined,
      device: (hook ?? standing)?.add?.name ?? standing?.remove?.name,
      ...{ state, wanted: text(hook), programmed: text(standing) },
      ...(why === undefined ? {} : { error: why }),
    };
  });
}

/** Whether it is a way to a subnet, and not what such a way goes by. */
export function isWay({ kind }: Pick<RouteView, "kind">): boolean {
  return kind === "route" || kind === "hook";
}

/** How many stand how: routes, and what they go by. */
export function countStates(views: readonly RouteView[]) {
  const [routes, tunnel] = [new Map<string, number>(), new Map<string, number>()];
  for (const view of views) {
    const counts = isWay(view) ? routes : tunnel;
    counts.set(view.state, (counts.get(view.state) ?? 0) + 1);
  }
  return { routes: Object.fromEntries(routes), tunnel: Object.fromEntries(tunnel) };
}

function viewOf(
  item: Item,
  { settled, error }: { readonly settled: boolean; readonly error: string | undefined },
): RouteView {
  const { about, actual } = item;
  const wanted = item.wanted === undefined ? null : formatWanted(item.wanted);
  const programmed = actual === undefined ? null : formatWanted(actual);
  const why = error ?? item.why;
  return {
    ...{ kind: about.kind, about: formatSubject(about), ...wayOf(item) },
    state: error !== undefined ? "failed" : settled ? "ok" : item.state,
    wanted,
    programmed: settled || item.state === "ok" ? wanted : programmed,
    ...(why === undefined ? {} : { error: why }),
  };
}

function wayOf({ wanted, actual }: Item): Pick<RouteView, "via" | "device"> {
  const route = wanted ?? actual;
  if (route?.kind !== "route") return { via: undefined, device: undefined };
  const { via, device, unreachable } = route;
  return {
    via: via === undefined ? undefined : formatAddress(via),
    device: unreachable ? "unreachable" : device,
  };
}
