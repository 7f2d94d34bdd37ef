/**
 * The part of tap's interface that this project's tests use, on `node:test`, so that the same
 * files run under `deno test` (deno.json maps `tap` here). Passes on only what tap and this file
 * agree about; a test without an assertion fails, as it would prove nothing.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

type Body = (t: Test) => unknown;

interface Options {
  /** A reason: the test does not run. */
  readonly skip?: string | false;
  /** Milliseconds. */
  readonly timeout?: number;
}

interface Context {
  test(name: string, options: object, body: (context: Context) => Promise<void>): Promise<void>;
  after(callback: () => unknown): void;
  skip(reason?: string): void;
}

class Test {
  #context: Context | undefined;
  #assertions = 0;
  readonly #teardowns: (() => unknown)[] = [];

  constructor(context?: Context) {
    this.#context = context;
  }

  test(name: string, options: Options | Body, body?: Body): Promise<void> {
    this.#assertions++;
    const run = body ?? (options as Body);
    const { skip, timeout } = body === undefined ? {} as Options : options as Options;
    const settings = { ...(skip ? { skip } : {}), ...(timeout ? { timeout } : {}) };
    const wrapped = async (context: Context) => {
      const t = new Test(context);
      await run(t);
      assert.ok(t.#assertions > 0, `"${name}" asserted nothing`);
    };
    return this.#context
      ? this.#context.test(name, settings, wrapped)
      : test(name, settings, wrapped as never) as unknown as Promise<void>;
  }

  /** The last one first, each after the other, as tap has it: a folder goes after what is in it. */
  teardown(callback: () => unknown): void {
    if (this.#teardowns.length === 0) this.#context?.after(() => this.#tearDown());
    this.#teardowns.push(callback);
  }

  /** All of them, though one fails. */
  async #tearDown(): Promise<void> {
    const failures: unknown[] = [];
    for (const callback of this.#teardowns.toReversed()) {
      await new Promise((resolve) => resolve(callback())).catch((error) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  equal(found: unknown, wanted: unknown, message?: string): void {
    this.#assertions++;
    assert.equal(found, wanted, message);
  }

  not(found: unknown, unwanted: unknown, message?: string): void {
    this.#assertions++;
    assert.notEqual(found, unwanted, message);
  }

  same(found: unknown, wanted: unknown, message?: string): void {
    this.#assertions++;
    assert.deepEqual(found, wanted, message);
  }

  ok(value: unknown, message?: string): void {
    this.#assertions++;
    assert.ok(value, message);
  }

  notOk(value: unknown, message?: string): void {
    this.#assertions++;
    assert.ok(!value, message);
  }

  match(found: string, pattern: RegExp, message?: string): void {
    this.#assertions++;
    assert.match(found, pattern, message);
  }

  throws(action: () => unknown, wanted?: object, message?: string): void {
    this.#assertions++;
    assert.throws(action, wanted as Error, message);
  }

  doesNotThrow(action: () => unknown, message?: string): void {
    this.#assertions++;
    assert.doesNotThrow(action, message);
  }

  async rejects(
    action: Promise<unknown> | (() => Promise<unknown>),
    wanted?: object,
    message?: string,
  ): Promise<void> {
    this.#assertions++;
    await assert.rejects(action, wanted as Error, message);
  }

  pass(_message?: string): void {
    this.#assertions++;
  }

  fail(message?: string): void {
    assert.fail(message);
  }
}

export type { Test };
export default new Test();
