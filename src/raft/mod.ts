/** The public face of the consensus core. */
export {
  assertConfiguration,
  type Change,
  changed,
  type Configuration,
  EMPTY_CONFIGURATION,
  isMember,
  isVoter,
} from "./configuration.ts";
export type { ReadState, Role } from "./core.ts";
export type { CampaignResult } from "./election.ts";
export { type Entry, type EntryType, NOBODY, type Place, type Proposal } from "./entry.ts";
export type { ProposeRefusal, ProposeResult, TransferResult } from "./leader.ts";
export type * from "./message.ts";
export { type RaftLimits, type RaftOptions, SUGGESTED_LIMITS } from "./options.ts";
export type { ProgressState, ProgressStatus } from "./progress.ts";
export { majority } from "./quorum.ts";
export { Raft } from "./raft.ts";
export type { ReadResult } from "./reads.ts";
export type { Ready, SoftState } from "./ready.ts";
export { refusalOfFormer } from "./refusal.ts";
export {
  assertRestored,
  founding,
  type HardState,
  NOTHING_RESTORED,
  type Restored,
} from "./restored.ts";
export { describe, type Status } from "./status.ts";
export type { StepResult } from "./step.ts";
