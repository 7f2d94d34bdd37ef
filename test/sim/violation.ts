/** Something happened that must never happen. */
export class Violation extends Error {}

export function demand(holds: boolean, rule: string, facts: () => string): void {
  if (!holds) throw new Violation(`${rule}: ${facts()}`);
}
