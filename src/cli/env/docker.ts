import { DEFAULT_SETTINGS } from "../../agent/settings.ts";
import type { DenimError } from "../../base/errors.ts";
import type { SubnetEnvRead } from "../../lease/subnet-env.ts";
import type { Merged } from "./daemon-json.ts";
import { blocksOf, command, type Form, subnetFlags } from "./recipe.ts";

const BRIDGE = "com.docker.network.bridge";

const RESTARTS =
  "dockerd has to be restarted, and its containers with it: docker0 gets another address";

/** A network beside Docker's own: nothing that runs is touched. */
export function dockerNetwork(env: SubnetEnvRead): Form {
  const options = [
    ...(env.mtu === undefined ? [] : [`--opt com.docker.network.driver.mtu=${env.mtu}`]),
    ...(env.ipMasq === undefined ? [] : [`--opt ${BRIDGE}.enable_ip_masquerade=${!env.ipMasq}`]),
  ];
  return {
    name: "network",
    title: "a network of its own, beside docker0 (recommended)",
    steps: [
      { run: command("docker network create", ...subnetFlags(blocksOf(env)), ...options, "denim") },
      { run: "docker run --network denim IMAGE" },
    ],
    notes: [
      "nothing restarts; docker0 and the containers on it stay as they are",
      "Docker refuses it where docker0 is in the subnet already: one form, or another",
      "if this host's subnet changes: docker network rm denim, and create it again",
      "Docker 28 and newer drops what comes from other hosts: add " +
      `--opt ${BRIDGE}.trusted_host_interfaces=INTERFACE (denim status shows it)`,
      ...(env.gateway === undefined ? ["Docker adds an IPv4 subnet of its own choice"] : []),
    ],
  };
}

const OPTIONS_FILE = "/run/flannel/docker";

/** What flannel's pages have: dockerd's own bridge, by options of its command line. */
export function dockerOptionsFile(subnetFile: string): Form {
  const from = subnetFile === DEFAULT_SETTINGS.subnetFile ? "" : `-f ${subnetFile} `;
  return {
    name: "options",
    title: "docker0 in the subnet, by options of dockerd, as with flannel",
    steps: [
      { run: `denim mk-docker-opts ${from}-d ${OPTIONS_FILE}` },
      {
        file: "/etc/systemd/system/docker.service.d/denim-options.conf",
        text: `[Service]\nEnvironmentFile=${OPTIONS_FILE}\n`,
      },
      { run: "systemctl daemon-reload && systemctl restart docker" },
    ],
    notes: [
      RESTARTS,
      "the unit must have $DOCKER_OPTS on its command line, as Debian's has and Docker's own has " +
      "not; another name: mk-docker-opts -k NAME",
      `${OPTIONS_FILE} is gone after a boot, and dockerd does not start without it: the first line ` +
      "has to run before; denim install --docker does all of this, at each boot",
    ],
  };
}

const DAEMON_JSON = {
  name: "daemon.json",
  title: "docker0 in the subnet, by Docker's own file",
};

/** The same by Docker's own file, which any unit reads. */
export function dockerDaemonJson(path: string, { text, changed, kept }: Merged): Form {
  const said = (keys: readonly string[]) => keys.join(", ");
  return {
    ...DAEMON_JSON,
    steps: changed.length === 0 ? [] : [{ file: path, text }, { run: "systemctl restart docker" }],
    notes: changed.length === 0 ? [`${path} says all of it already`] : [
      RESTARTS,
      `set: ${said(changed)}${kept.length === 0 ? "" : `; kept: ${said(kept)}`}`,
      "--write puts it there; dockerd refuses a key that is also on its command line",
      "if this host's subnet changes, do it again",
    ],
  };
}

/** What is there is not ours to mend. */
export function cannotMerge(path: string, { message, why, fix }: DenimError): Form {
  const reasons = [message, why, fix].filter((text) => text !== undefined);
  return { ...DAEMON_JSON, steps: [], notes: [`not with ${path} as it is`, ...reasons] };
}
