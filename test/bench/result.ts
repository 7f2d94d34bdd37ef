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
  /** The other one's figure, in the same unit. */
  readonly peer: number;
  readonly unit: Unit;
  /** `denim / peer` */
  readonly ratio: number;
  /** The ratio to reach, or not to exceed: the unit says which. */
  readonly target: number;
  readonly ok: boolean;
}

/** Less time is better, and fewer faults; more of something in a second is. */
export type Unit = "ms" | "times" | "/s";

export function benchRow(
  name: string,
  measured: { denim: number; peer: number; unit: Unit },
  target: number,
): BenchRow {
  const round = (value: number) => Number(value.toPrecision(3));
  const ratio = round(measured.denim / measured.peer);
  const { denim, peer, unit } = measured;
  const row = { name, denim: round(denim), peer: round(peer), unit, ratio, target };
  return { ...row, ok: meets(row) };
}

/** Whether a row reaches its goal, or one that is `patience` times easier. */
export function meets(row: Omit<BenchRow, "ok">, patience = 1): boolean {
  const { ratio, target, unit } = row;
  return unit === "/s" ? ratio >= target / patience : ratio <= target * patience;
}

export function benchResult(bench: string, rows: readonly BenchRow[]): BenchResult {
  return { bench, ok: rows.every((row) => row.ok), rows };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

/** The value that a tenth of all are above. */
export function percentile90(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.9) - 1]!;
}
