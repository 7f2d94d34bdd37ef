/** What a real kernel does too rarely to wait for: a libc that plays a scripted one. */
import t from "tap";
import type { Libc } from "../../src/kernel/libc.ts";
import { ERRNO, NLM_F, NLMSG, RTM } from "../../src/kernel/netlink/constants.ts";
import { MessageWriter, readMessages } from "../../src/kernel/netlink/message.ts";
import { RequestSocket } from "../../src/kernel/socket.ts";

/** One thing that waits in the socket: a datagram, or an error of `recv`. */
type Waiting = Uint8Array | number;

/** What the kernel answers to a request with the given sequence number. */
type Script = (sequence: number) => Waiting[];

function scripted(answers: readonly Script[]): { socket: RequestSocket; sent: () => number } {
  let waiting: Waiting[] = [];
  let errno = 0;
  let sent = 0;
  const libc: Partial<Libc> = {
    socket: () => 3,
    bind: () => 0,
    getsockname: () => 0,
    setsockopt: () => 0,
    errno: () => errno,
    sendto(_fd, bytes, length) {
      const [first] = readMessages(bytes.subarray(0, length));
      waiting = answers[Math.min(sent, answers.length - 1)]!(first!.sequence);
      sent++;
      return length;
    },
    recv(_fd, buffer) {
      const next = waiting.shift() ?? ERRNO.EAGAIN;
      if (typeof next === "number") {
        errno = next;
        return -1;
      }
      buffer.set(next);
      return next.length;
    },
  };
  return { socket: new RequestSocket(libc as Libc), sent: () => sent };
}

function message(type: number, sequence: number, options: { flags?: number; errno?: number } = {}) {
  const writer = new MessageWriter(64);
  writer.begin(type, options.flags ?? 0, sequence);
  const body = new Uint8Array(4);
  new DataView(body.buffer).setInt32(0, -(options.errno ?? 0), true);
  writer.raw(body);
  writer.finish();
  return writer.bytes.slice();
}

const item = (sequence: number, flags = 0) => message(RTM.newRoute, sequence, { flags });
const done = (sequence: number, errno = 0) => message(NLMSG.done, sequence, { errno });

function list(socket: RequestSocket): number {
  return socket.dump(
    (writer, sequence) => {
      writer.begin(RTM.getRoute, NLM_F.request | NLM_F.dump, sequence);
      writer.finish();
    },
    () => true,
  ).length;
}

t.test("a list that changed meanwhile is read again", async (t) => {
  const { socket, sent } = scripted([
    (sequence) => [item(sequence), item(sequence, NLM_F.dumpInterrupted), done(sequence)],
    (sequence) => [item(sequence), done(sequence)],
  ]);
  t.same([list(socket), sent()], [1, 2]);
});

t.test("a list of which a part was lost is read again", async (t) => {
  const { socket, sent } = scripted([
    (sequence) => [item(sequence), ERRNO.ENOBUFS, done(sequence)],
    (sequence) => [item(sequence), item(sequence), done(sequence)],
  ]);
  t.same([list(socket), sent()], [2, 2]);
});

t.test("a list that never holds still is given up", async (t) => {
  const restless: Script = (sequence) => [item(sequence, NLM_F.dumpInterrupted), done(sequence)];
  const { socket, sent } = scripted([restless]);
  t.throws(() => list(socket), { code: "KERNEL_REJECTED" });
  t.equal(sent(), 8);
});

t.test("what belongs to an earlier request is left out, a signal is no end", async (t) => {
  const { socket } = scripted([
    (sequence) => [item(sequence - 1), ERRNO.EINTR, item(sequence), done(sequence)],
  ]);
  t.equal(list(socket), 1);
});

t.test("a list that ends with an error, or not at all, is an error", async (t) => {
  const refused = scripted([(sequence) => [item(sequence), done(sequence, ERRNO.EPERM)]]);
  t.throws(() => list(refused.socket), {
    code: "KERNEL_REJECTED",
    message: "Cannot list the kernel's tables",
    why: "EPERM: Operation not permitted",
  });
  const endless = scripted([(sequence) => [item(sequence)]]);
  t.throws(() => list(endless.socket), { code: "KERNEL_REJECTED" });
  const none = scripted([(sequence) => [done(sequence, ERRNO.ENOENT)]]);
  t.equal(list(none.socket), 0);
});

t.test("a batch without its last acknowledgement is an error, never a success", async (t) => {
  const write = (writer: MessageWriter, request: { sequence: number; ack: boolean }) => {
    writer.begin(RTM.newRoute, request.ack ? NLM_F.ack : 0, request.sequence);
    writer.finish();
  };
  const answer = (sequence: number, errno: number) => message(NLMSG.error, sequence, { errno });
  const fine = scripted([(first) => [answer(first + 1, 17), answer(first + 2, 0)]]);
  t.same(fine.socket.batch([write, write, write]).map((a) => a.errno), [0, 17, 0]);
  const lost = scripted([(first) => [answer(first + 1, 17)]]);
  t.throws(() => lost.socket.batch([write, write, write]), { code: "KERNEL_REJECTED" });
});
