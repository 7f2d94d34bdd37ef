/** What every benchmark returns: it measures side by side in one run, and judges. */
export interface BenchResult {
  readonly bench: string;
  /** True where every row is. */
  readonly ok: boolean;
  readonly rows: readonly BenchRow[];
}

export interface BenchRow {
  readonly name: string;
  readonly denim: number;
  /** The other one's figure, in the same unit. Less is better for both. */
  readonly peer: number;
  readonly unit: string;
  /** `denim / peer` */
  readonly ratio: number;
  /** The ratio that must not be exceeded. */
  readonly target: number;
  readonly ok: boolean;
}

export function benchRow(
  name: string,
  measured: { denim: number; peer: number; unit: string },
  target: number,
): BenchRow {
  const round = (value: number) => Number(value.toPrecision(3));
  const ratio = round(measured.denim / measured.peer);
  const { denim, peer, unit } = measured;
  return { name, denim: round(denim), peer: round(peer), unit, ratio, target, ok: ratio <= target };
}

export function benchResult(bench: string, rows: readonly BenchRow[]): BenchResult {
  return { bench, ok: rows.every((row) => row.ok), rows };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
