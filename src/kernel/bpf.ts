/** Classic BPF (`linux/filter.h`): what a socket takes in is decided in the kernel. */

/** Operation, lines to skip when true and when false, operand. */
export type Instruction = readonly [number, number, number, number];

/** `linux/bpf_common.h`: loads are from network order, of a byte, two or four at an offset. */
export const LOAD = { byte: 0x30, half: 0x28, word: 0x20 } as const;
export const JUMP_EQUAL = 0x15;
/** With the number of bytes that are let in; none are refused. */
export const RETURN = 0x06;

export const EVERYTHING = 0xffff_ffff;

/** As SO_ATTACH_FILTER takes it: struct sock_filter, eight bytes each. */
export function assemble(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  program.forEach(([code, whenTrue, whenFalse, value], i) => {
    view.setUint16(i * 8, code, true);
    view.setUint8(i * 8 + 2, whenTrue);
    view.setUint8(i * 8 + 3, whenFalse);
    view.setUint32(i * 8 + 4, value, true);
  });
  return bytes;
}
