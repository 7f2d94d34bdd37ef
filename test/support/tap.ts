/** What the helpers need of a test, under tap and under Deno's shim alike. */
export interface Test {
  teardown(callback: () => unknown): void;
}
