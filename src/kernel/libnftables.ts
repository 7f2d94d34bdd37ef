import { DenimError } from "../base/errors.ts";

/** The library behind `nft`: a text in nftables' language is one transaction. */
export interface Libnftables {
  /**
   * Runs commands, all or none; what they list is the result.
   *
   * @throws `KERNEL_REJECTED` with the library's own words
   */
  run(commands: string): string;
  close(): void;
}

/**
 * Opens the library in the network namespace of this thread; `undefined` on a host without it. It
 * is found by name, as the system finds it: no `nft` is needed, and nothing is brought along.
 */
export async function openLibnftables(): Promise<Libnftables | undefined> {
  const { default: koffi } = await import("koffi");
  let library;
  try {
    library = koffi.load("libnftables.so.1");
  } catch {
    return undefined;
  }
  const open = library.func("void* nft_ctx_new(uint32_t)");
  const free = library.func("void nft_ctx_free(void*)");
  const bufferOutput = library.func("int nft_ctx_buffer_output(void*)");
  const bufferErrors = library.func("int nft_ctx_buffer_error(void*)");
  const output = library.func("const char* nft_ctx_get_output_buffer(void*)");
  const errors = library.func("const char* nft_ctx_get_error_buffer(void*)");
  const run = library.func("int nft_run_cmd_from_buffer(void*, const char*)");
  const context = open(0);
  // Otherwise it would write to this process's stdout and stderr.
  bufferOutput(context);
  bufferErrors(context);
  return {
    run(commands) {
      const failed = run(context, commands) !== 0;
      // Both have to be read, or they are there again after the next commands.
      const [said, complaint] = [output(context) as string, errors(context) as string];
      if (!failed) return said;
      throw new DenimError("KERNEL_REJECTED", "nftables refuses the rules", {
        why: complaint.split("\n", 1)[0]!.replace(/^.*?Error: /, ""),
      });
    },
    close: () => void free(context),
  };
}
