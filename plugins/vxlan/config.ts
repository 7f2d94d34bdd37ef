/** What comes from outside: the backend's part of the network config, and what peers publish. */
import { DenimError, isMac, isUnicast, type Json, type Mac } from "denim/backend";

/** flannel's keys for Linux (`flannel/Documentation/backends.md`). */
export interface VxlanConfig {
  /** 24 bits: which of the tunnels between the same hosts. */
  readonly vni: number;
  /** UDP, of both ends. */
  readonly port: number;
  /** Peers on the host's own link are reached without the tunnel. */
  readonly directRouting: boolean;
  /** Marks of packets travel along, as a group of the header (`VXLAN_F_GBP`). */
  readonly gbp: boolean;
  /** What comes in also says where a MAC address is. */
  readonly learning: boolean;
  /** Bytes of a packet on the underlay; absent: as many as its link takes. */
  readonly mtu: number | undefined;
}

/** One end of the tunnel, as it is published: flannel's, and a port where it is not the usual. */
export type Vtep = {
  readonly VNI: number;
  readonly VtepMAC: Mac;
  readonly Port?: number;
};

/** What Linux has used since before IANA assigned 4789, and flannel with it. */
export const DEFAULT_PORT = 8472;
const DEFAULT_VNI = 1;

const VNI_MAX = 0xff_ff_ff;
const PORT_MAX = 0xff_ff;
/** Every IPv4 host takes packets of 576 bytes (RFC 791); a link's MTU has 16 bits. */
const MTU = { min: 576, max: 0xff_ff } as const;

const KEYS = ["Type", "VNI", "Port", "DirectRouting", "GBP", "Learning", "MTU"];
/** Of Windows hosts, which may be in the same config. */
const OTHERS_KEYS = ["Name", "MacPrefix"];

/** Keys in any case, the last of two equal ones wins. @throws `CONFIG_INVALID` */
export function readConfig(json: Json): VxlanConfig {
  const values = new Map<string, Json>();
  for (const [given, value] of Object.entries(asObject(json, "The vxlan backend's config"))) {
    const key = [...KEYS, ...OTHERS_KEYS].find((one) => one.toLowerCase() === given.toLowerCase());
    if (key === undefined) {
      const why = `vxlan has the keys ${KEYS.slice(1).join(", ")}`;
      throw invalid(`Unknown key "${given}" in the vxlan backend's config`, why);
    }
    // Go leaves what it decodes into alone where it meets null.
    if (value !== null) values.set(key, value);
  }
  const mtu = whole(values, "MTU", 0, MTU.max);
  if (mtu !== 0 && mtu < MTU.min) {
    throw invalid(`MTU must be from ${MTU.min} to ${MTU.max}: it is ${mtu}`);
  }
  return {
    vni: whole(values, "VNI", DEFAULT_VNI, VNI_MAX),
    port: whole(values, "Port", 0, PORT_MAX) || DEFAULT_PORT,
    directRouting: flag(values, "DirectRouting"),
    gbp: flag(values, "GBP"),
    learning: flag(values, "Learning"),
    mtu: mtu === 0 ? undefined : mtu,
  };
}

/** Without a VNI it is of an early flannel, which had no other than 1. @throws `CONFIG_INVALID` */
export function readVtep(json: Json): Vtep {
  const { VNI = DEFAULT_VNI, VtepMAC, Port } = asObject(json, "What a vxlan peer publishes");
  const mac = typeof VtepMAC === "string" ? VtepMAC.toLowerCase() : "";
  if (!isMac(mac) || !isUnicast(mac)) {
    throw invalid("A vxlan peer's VtepMAC is no MAC address of a single station", say(VtepMAC));
  }
  if (!isWhole(VNI, VNI_MAX)) throw invalid("A vxlan peer's VNI is not 24 bits", say(VNI));
  if (Port === undefined) return { VNI, VtepMAC: mac };
  if (!isWhole(Port, PORT_MAX)) throw invalid("A vxlan peer's Port is not 16 bits", say(Port));
  return { VNI, VtepMAC: mac, Port };
}

function asObject(json: Json, what: string): { readonly [key: string]: Json } {
  if (json !== null && typeof json === "object" && !Array.isArray(json)) {
    return json as { readonly [key: string]: Json };
  }
  throw invalid(`${what} is not a JSON object`, say(json));
}

function whole(values: ReadonlyMap<string, Json>, key: string, fallback: number, max: number) {
  const value = values.get(key) ?? fallback;
  if (isWhole(value, max)) return value;
  throw invalid(`${key} must be a whole number from 0 to ${max}`, say(value));
}

function flag(values: ReadonlyMap<string, Json>, key: string): boolean {
  const value = values.get(key) ?? false;
  if (typeof value === "boolean") return value;
  throw invalid(`${key} must be true or false`, say(value));
}

function isWhole(value: Json, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max;
}

function say(value: Json | undefined): string {
  return value === undefined ? "it is missing" : `it is ${JSON.stringify(value)}`;
}

function invalid(message: string, why?: string): DenimError {
  return new DenimError("CONFIG_INVALID", message, why === undefined ? {} : { why });
}
