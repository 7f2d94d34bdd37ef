import { defineBackend } from "denim/backend";
import { type Commands, parseCommands } from "./config.ts";
import { hooksOf, invocationOf, parseData } from "./plan.ts";

/** Has commands of the network config carry the packets: what flannel calls an extension. */
export const extension = defineBackend<Commands, string>({
  contract: 1,
  name: "extension",
  parseConfig: parseCommands,
  parseData,

  programs({ commands, timeoutMs }) {
    const first = commands.PreStartupCommand;
    return {
      argvs: Object.values(commands),
      ...(first === undefined ? {} : {
        first: invocationOf("PreStartupCommand", first, { env: {}, input: "", timeoutMs }),
      }),
    };
  },

  publish: ({ link, printed = "" }) => ({ data: parseData(printed.trim()), mtu: link.mtu }),
  plan: hooksOf,
});
