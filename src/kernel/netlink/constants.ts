/** Numbers of the kernel's interface, each group with the header that defines it. */

/** `linux/socket.h` */
export const AF = { unspec: 0, inet: 2, bridge: 7, netlink: 16, inet6: 10 } as const;

/** `linux/net.h`, `asm-generic/fcntl.h` */
export const SOCK = { raw: 3, cloexec: 0o2000000, nonblock: 0o4000 } as const;

/** `linux/socket.h` */
export const MSG = { dontwait: 0x40, trunc: 0x20 } as const;

/** `asm-generic/socket.h` */
export const SOL_SOCKET = 1;
export const SO = { rcvbuf: 8, rcvbufforce: 33 } as const;

/** `linux/socket.h`, `linux/netlink.h` */
export const SOL_NETLINK = 270;
export const NETLINK = { route: 0, capAck: 10, extAck: 11, getStrictCheck: 12 } as const;

/** `linux/netlink.h`: types that every protocol shares. */
export const NLMSG = { error: 2, done: 3 } as const;

/** `linux/netlink.h` */
export const NLM_F = {
  request: 0x1,
  ack: 0x4,
  /** A dump that changed under the reader's hands; to be repeated. */
  dumpInterrupted: 0x10,
  dump: 0x300,
  /** Of a new thing: it may take the place of one that is there. */
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  /** The error does not repeat the whole request. */
  capped: 0x100,
  /** The error carries attributes, among them the kernel's own words. */
  ackAttributes: 0x200,
} as const;

/** `linux/netlink.h`: enum nlmsgerr_attrs */
export const NLMSGERR_ATTR_MSG = 1;

/** `linux/netlink.h`: the two high bits of an attribute's type are flags. */
export const NLA_TYPE_MASK = 0x3fff;

/** `linux/rtnetlink.h` */
export const RTM = {
  newLink: 16,
  deleteLink: 17,
  getLink: 18,
  setLink: 19,
  newAddress: 20,
  deleteAddress: 21,
  getAddress: 22,
  newRoute: 24,
  deleteRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  deleteNeighbour: 29,
  getNeighbour: 30,
} as const;

/** `linux/rtnetlink.h`: struct rtmsg and its attributes. */
export const RTMSG_BYTES = 12;
export const RTA = {
  destination: 1,
  outIndex: 4,
  gateway: 5,
  priority: 6,
  multipath: 9,
  table: 15,
  via: 18,
  encapType: 21,
  nexthopId: 30,
} as const;

/** `linux/rtnetlink.h` */
export const RT_TABLE_MAIN = 254;
export const RTN_UNICAST = 1;
export const RTN_UNREACHABLE = 7;
export const RT_SCOPE = { universe: 0, link: 253, host: 254, nowhere: 255 } as const;
export const RTM_F_CLONED = 0x200;
export const RTNH_F_ONLINK = 4;
/** `linux/rtnetlink.h`: struct rtnexthop is 8 bytes, its attributes follow. */
export const RTNH_BYTES = 8;

/** `linux/if_link.h`, `linux/rtnetlink.h`: counters nobody asked for are half of a link dump. */
export const IFLA = {
  address: 1,
  name: 3,
  mtu: 4,
  linkInfo: 18,
  alias: 20,
  group: 27,
  extensionMask: 29,
} as const;
export const IFLA_INFO = { kind: 1, data: 2 } as const;
export const IFLA_VXLAN = {
  id: 1,
  group: 2,
  link: 3,
  local: 4,
  learning: 7,
  proxy: 11,
  rsc: 12,
  l2Miss: 13,
  l3Miss: 14,
  port: 15,
  group6: 16,
  local6: 17,
  gbp: 23,
  collectMetadata: 25,
  gpe: 27,
} as const;
export const IFINFOMSG_BYTES = 16;
/** `linux/if.h` */
export const IFF_UP = 1;
export const RTEXT_FILTER_SKIP_STATS = 1 << 3;

/** `linux/if_addr.h` */
export const IFADDRMSG_BYTES = 8;
export const IFA = { address: 1, local: 2 } as const;
export const IFA_F_NODAD = 0x02;

/** `linux/neighbour.h`: struct ndmsg, its flags, states and attributes. */
export const NDMSG_BYTES = 12;
export const NTF_SELF = 1 << 1;
export const NUD_PERMANENT = 0x80;
export const NDA = { destination: 1, mac: 2, port: 6, vni: 7, linkIndex: 8 } as const;

/** `linux/rtnetlink.h`: RTMGRP_*, what a watcher subscribes to. */
export const RTMGRP = {
  link: 0x1,
  neighbour: 0x4,
  ipv4Address: 0x10,
  ipv4Route: 0x40,
  ipv6Address: 0x100,
  ipv6Route: 0x400,
} as const;

/** `asm-generic/errno-base.h`, `asm-generic/errno.h` */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EAGAIN: 11,
  ENODEV: 19,
  EINVAL: 22,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRNOTAVAIL: 99,
  ENOBUFS: 105,
} as const;

const WORDS: Readonly<Record<number, string>> = {
  1: "EPERM: Operation not permitted",
  2: "ENOENT: No such file or directory",
  3: "ESRCH: No such process",
  12: "ENOMEM: Out of memory",
  16: "EBUSY: Device or resource busy",
  17: "EEXIST: File exists",
  98: "EADDRINUSE: Address already in use",
  99: "EADDRNOTAVAIL: Cannot assign requested address",
  19: "ENODEV: No such device",
  22: "EINVAL: Invalid argument",
  34: "ERANGE: Numerical result out of range",
  95: "EOPNOTSUPP: Operation not supported",
  97: "EAFNOSUPPORT: Address family not supported by protocol",
  100: "ENETDOWN: Network is down",
  101: "ENETUNREACH: Network is unreachable",
  105: "ENOBUFS: No buffer space available",
  113: "EHOSTUNREACH: No route to host",
};

/** An error number as one sentence: the kernel's own words where it gave some. */
export function errorText(errno: number, words?: string): string {
  const known = WORDS[errno] ?? `errno ${errno}`;
  return words === undefined ? known : `${known.split(":")[0]}: ${words}`;
}
