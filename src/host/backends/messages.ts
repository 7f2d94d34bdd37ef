import type { Host, Json, Plan, ProgramUse, Publication } from "../../backend/backend.ts";
import type { SuiteOptions, Verdict } from "../../backend/contract/suite.ts";
import type { DroppedPeer, RawScene } from "../../backend/scene.ts";
import type { ErrorJson } from "../../base/errors.ts";

/** What the worker of a backend is told when it begins. */
export interface WorkerStart {
  readonly name: string;
  /** The backend's folder: nothing is loaded from outside of it. */
  readonly path: string;
  readonly entry: string;
}

/** What a backend's worker can be asked, and what it answers; all of it can be cloned. */
export interface Questions {
  /** Of a backend that runs none, none. */
  readonly programs: { readonly asked: { readonly config: Json }; readonly answer: ProgramUse };
  readonly publish: {
    readonly asked: { readonly host: Host; readonly config: Json };
    readonly answer: Publication<Json>;
  };
  readonly plan: {
    readonly asked: RawScene;
    readonly answer: { readonly plan: Plan; readonly dropped: readonly DroppedPeer[] };
  };
  /** Has the backend keep one promise of the contract. */
  readonly judge: {
    readonly asked: { readonly name: string } & SuiteOptions;
    readonly answer: Omit<Verdict, "failure"> & {
      readonly failure?: Omit<NonNullable<Verdict["failure"]>, "cause">;
    };
  };
  /** The names of the tests that lie beside the backend, file by file. */
  readonly tests: { readonly asked: null; readonly answer: readonly OwnTest[] };
  /** Runs one of them. */
  readonly test: { readonly asked: OwnTest; readonly answer: null };
}

/** A test that a backend's author wrote: a member of what a `*.test.ts` exports as `tests`. */
export interface OwnTest {
  /** In the folder. */
  readonly file: string;
  readonly name: string;
}

export type Question = keyof Questions;

export interface Asked<Q extends Question = Question> {
  readonly id: number;
  readonly question: Q;
  readonly asked: Questions[Q]["asked"];
}

/** Something that was thrown, as it crosses the border of a worker. */
export interface Fault {
  /** What the backend said on purpose. */
  readonly said?: ErrorJson;
  /** On one line. */
  readonly text: string;
  /** `/etc/denim/backends/mine/mod.ts:12`, as far as that is known. */
  readonly at?: string;
}

export type Told =
  | { readonly kind: "loaded" }
  | { readonly kind: "failed"; readonly fault: Fault }
  | { readonly kind: "answer"; readonly id: number; readonly answer: unknown }
  | { readonly kind: "fault"; readonly id: number; readonly fault: Fault };
