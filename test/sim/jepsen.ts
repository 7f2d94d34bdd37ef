/**
 * Histories of a compare-and-set register as Jepsen logs them, one event a line:
 *
 *   INFO  jepsen.util - PROCESS  :invoke|:ok|:fail|:info  :read|:write|:cas  VALUE
 *
 * in which the value is `nil`, a number, `[from to]` or a reason such as `:timed-out`. Whatever
 * stands before INFO, and any other line, is somebody else's.
 */
import { NIL, type RegisterOperation, type Value } from "./register.ts";
import type { Operation } from "./wgl.ts";

/** The register that an operation was done on is not told: a history is of one. */
export type RegisterHistory = readonly Operation<RegisterOperation>[];

/** This cannot be a history. Lines count from 1; without one it is the file. */
export class MalformedHistory extends Error {
  readonly line: number | undefined;

  constructor(what: string, line?: number) {
    super(what);
    this.line = line;
  }
}

export interface Event {
  readonly process: string;
  readonly type: "invoke" | "ok" | "fail" | "info";
  readonly verb: "read" | "write" | "cas";
  readonly value: string;
}

interface LoggedEvent extends Event {
  readonly line: number;
}

const EVENT = new RegExp(
  /\bINFO\b.*\bjepsen\.util\s*[-:]\s*/.source +
    /(?<process>\d+)\s+:(?<type>invoke|ok|fail|info)\s+:(?<verb>read|write|cas)\b\s*(?<value>.*)$/
      .source,
);
const VALUE = /^(?:nil|-?\d+)$/;
const PAIR = /^\[\s*(nil|-?\d+)[\s,]+(nil|-?\d+)\s*\]$/;

/** The line of an event, as {@link parseJepsen} reads it. */
export function jepsenLine({ process, type, verb, value }: Event): string {
  return `INFO  jepsen.util - ${process}\t:${type}\t:${verb}\t${value}`;
}

/** Times are line numbers. Throws `MalformedHistory`. */
export function parseJepsen(text: string): RegisterHistory {
  const events = text.split(/\r?\n/).flatMap(parseLine);
  if (events.length === 0) throw new MalformedHistory("it has no operation of a register");
  const result: Operation<RegisterOperation>[] = [];
  const open = new Map<string, LoggedEvent>();
  for (const event of events) {
    const call = open.get(event.process);
    if (event.type === "invoke") {
      // A process that calls again has never heard what became of its last call.
      if (call !== undefined) result.push(...unknown(call));
      open.set(event.process, event);
    } else {
      if (call === undefined) throw malformed(event, "it has no call");
      if (call.verb !== event.verb) throw malformed(event, `its call was :${call.verb}`);
      open.delete(event.process);
      result.push(...outcome(call, event));
    }
  }
  return [...result, ...[...open.values()].flatMap(unknown)];
}

function parseLine(text: string, index: number): LoggedEvent[] {
  const groups = EVENT.exec(text.trimEnd())?.groups;
  return groups === undefined ? [] : [{ ...groups, line: index + 1 } as unknown as LoggedEvent];
}

/** What a call and its end say together: one operation, or none where they say nothing. */
function outcome(call: LoggedEvent, end: LoggedEvent): Operation<RegisterOperation>[] {
  if (end.type === "info" || end.value === ":timed-out") return unknown(call);
  const times = { calledAt: call.line, returnedAt: end.line };
  if (end.type === "fail") {
    return refused(end) ? [{ what: { kind: "refused", from: pair(call)[0] }, ...times }] : [];
  }
  if (end.verb === "read") return [{ what: { kind: "read", value: number(end) }, ...times }];
  const what = effect(call);
  if (end.value !== "" && JSON.stringify(effect(end)) !== JSON.stringify(what)) {
    throw malformed(end, `its call had ${call.value}`);
  }
  return [{ what, ...times }];
}

/**
 * A failed operation did not happen. Yet one that says what it compared was answered: the register
 * held something else then. With a reason in that place (`:node-failure`) nobody compared.
 */
function refused(end: LoggedEvent): boolean {
  return end.verb === "cas" && PAIR.test(end.value);
}

/** It may take effect at any time after its call, or never; a read has none. */
function unknown(call: LoggedEvent): Operation<RegisterOperation>[] {
  return call.verb === "read" ? [] : [{ what: effect(call), calledAt: call.line }];
}

function effect(event: LoggedEvent): RegisterOperation {
  if (event.verb === "write") return { kind: "write", value: number(event) };
  const [from, to] = pair(event);
  return { kind: "cas", from, to };
}

function number(event: LoggedEvent): Value {
  if (!VALUE.test(event.value)) throw malformed(event, "that needs nil or a number");
  return canonical(event.value);
}

function pair(event: LoggedEvent): readonly [Value, Value] {
  const match = PAIR.exec(event.value);
  if (match === null) throw malformed(event, "that needs [from to]");
  return [canonical(match[1]!), canonical(match[2]!)];
}

/** One number has one form. */
function canonical(value: string): Value {
  return value === NIL ? NIL : String(BigInt(value));
}

function malformed(
  { process, type, verb, value, line }: LoggedEvent,
  why: string,
): MalformedHistory {
  return new MalformedHistory(`process ${process} :${type} :${verb} ${value}: ${why}`, line);
}
