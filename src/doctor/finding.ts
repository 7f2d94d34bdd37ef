/** One setting below `/proc/sys`, and what it should say. */
export interface Setting {
  /** `net/ipv4/ip_forward`: the path below `/proc/sys`. */
  readonly path: string;
  readonly value: string;
}

/** What one check found. */
export interface Finding {
  /** One word that stays the same: for scripts, and for looking it up. */
  readonly check: string;
  /**
   * - `ok`: as it should be.
   * - `note`: nothing is wrong, but whoever looks for a fault wants to know it.
   * - `warning`: works, or will not for everybody.
   * - `failed`: containers will not talk, or Denim will not run.
   */
  readonly result: "ok" | "note" | "warning" | "failed";
  /** What there is, in a few words. */
  readonly found: string;
  readonly why?: string;
  readonly fix?: string;
  /** Settings that put it right and harm nobody: what `--fix` writes. */
  readonly settings?: readonly Setting[];
}

export function ok(check: string, found: string): Finding {
  return { check, result: "ok", found };
}

/** How to type it, and how to keep it over a restart. */
export function sysctlFix(settings: readonly Setting[]): string {
  const words = settings.map(({ path, value }) => `${path.replaceAll("/", ".")}=${value}`);
  return `sysctl -w ${words.join(" ")}; to keep it, put it into /etc/sysctl.d/`;
}

/** What `--fix` does as well. */
export function mendable(settings: readonly Setting[]): Pick<Finding, "fix" | "settings"> {
  return { fix: `denim doctor --fix, or: ${sysctlFix(settings)}`, settings };
}
