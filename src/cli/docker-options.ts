import { formatPrefix, parsePrefix } from "../ip/prefix.ts";
import type { SubnetEnvRead } from "../lease/subnet-env.ts";

/** One flag of dockerd, under the name that flannel's script gives it. */
export interface DockerOption {
  /** `DOCKER_OPT_BIP` */
  readonly name: string;
  /** `--bip=10.244.3.1/24` */
  readonly value: string;
}

export interface DockerOptionsAsked {
  /** Whether dockerd is told who masquerades. */
  readonly ipMasq: boolean;
  /** What others put in the environment already: those that are no flag of ours stay. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

const PREFIX = "DOCKER_OPT_";

/**
 * What dockerd has to be told so that its own bridge is in the subnet, in the order of the names.
 * `--ip-masq` is the opposite of subnet.env's: who masquerades there need not here.
 *
 * A bridge has its IPv6 subnet from `--fixed-cidr-v6`, of which it takes the first address; to the
 * script IPv6 is unknown (https://docs.docker.com/reference/cli/dockerd/).
 */
export function dockerOptions(env: SubnetEnvRead, asked: DockerOptionsAsked): DockerOption[] {
  const options = new Map(
    Object.entries(asked.env).filter(([name, value]) => name.startsWith(PREFIX) && value)
      .map(([name, value]) => [name, value!]),
  );
  const set = (name: string, value: string) => options.set(`${PREFIX}${name}`, value);
  if (env.gateway !== undefined) set("BIP", `--bip=${env.gateway}`);
  if (env.gatewayV6 !== undefined) {
    set("FIXED_CIDR_V6", `--fixed-cidr-v6=${formatPrefix(parsePrefix(env.gatewayV6))}`);
    set("IPV6", "--ipv6=true");
  }
  if (env.ipMasq !== undefined && asked.ipMasq) set("IPMASQ", `--ip-masq=${!env.ipMasq}`);
  if (env.mtu !== undefined) set("MTU", `--mtu=${env.mtu}`);
  return [...options].map(([name, value]) => ({ name, value }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

export interface DockerEnvForm {
  /** One line for each option. */
  readonly individual: boolean;
  /** The variable with all of them in it; `undefined`: none. */
  readonly combinedKey: string | undefined;
  /** What that variable says already; it goes in front. */
  readonly before: string;
}

/**
 * An EnvironmentFile for dockerd, byte for byte as flannel's `dist/mk-docker-opts.sh` writes it: the
 * combined value begins with a space.
 */
export function renderDockerEnv(options: readonly DockerOption[], form: DockerEnvForm): string {
  const lines = form.individual
    ? options.map(({ name, value }) => `${name}="${quotable(value)}"`)
    : [];
  if (form.combinedKey !== undefined) {
    const before = form.before === "" ? "" : `${form.before} `;
    const all = options.map(({ value }) => ` ${value}`).join("");
    lines.push(`${form.combinedKey}="${quotable(`${before}${all}`)}"`);
  }
  return lines.map((line) => `${line}\n`).join("");
}

/**
 * What somebody's options have of these would end the quotes, or be taken for a variable; the script
 * lets it. Shells and systemd read it back alike (`systemd.exec(5)`, EnvironmentFile=).
 */
function quotable(text: string): string {
  return text.replace(/["\\$`]/g, "\\$&");
}
