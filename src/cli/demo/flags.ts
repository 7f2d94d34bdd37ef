/** What `denim demo` is told. */
export interface DemoFlags {
  readonly once?: true;
  readonly hosts: number;
  readonly apiPort?: number;
  readonly json?: true;
  /** The folder of a run that goes on in a user namespace. */
  readonly inside?: string;
}

export const HOSTS_DEFAULT = 3;
