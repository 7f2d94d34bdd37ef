/**
 * Files of variables as systemd reads them (`systemd.exec(5)`, EnvironmentFile=). People edit them:
 * what is not to be changed stays as it is, comments and order included.
 */

/** `text` with these variables, each on its line, or at the end. */
export function withVariables(text: string, variables: ReadonlyMap<string, string>): string {
  const rest = new Map(variables);
  const lines = text.split("\n").map((line) => {
    const name = /^\s*([A-Za-z_]\w*)\s*=/.exec(line)?.[1];
    const value = name === undefined ? undefined : rest.get(name);
    if (name === undefined || value === undefined) return line;
    rest.delete(name);
    return assignment(name, value);
  });
  if (lines.at(-1) === "") lines.pop();
  return [...lines, ...[...rest].map(([name, value]) => assignment(name, value)), ""].join("\n");
}

/** Within double quotes only these four are special, and each takes a backslash. */
function assignment(name: string, value: string): string {
  if (/^[\w@%+=:,./[\]^-]*$/.test(value)) return `${name}=${value}`;
  return `${name}="${value.replace(/["\\$`]/g, "\\$&")}"`;
}

/** What the last line of that name says, as far as one plain or quoted word goes. */
export function variableIn(text: string, name: string): string | undefined {
  const value = [...text.matchAll(/^\s*([A-Za-z_]\w*)\s*=(.*)$/gm)]
    .findLast((match) => match[1] === name)?.[2]?.trim();
  if (value !== undefined && /^'[^']*'$/.test(value)) return value.slice(1, -1);
  if (value === undefined || !value.startsWith('"')) return value;
  return value.slice(1, -1).replace(/\\(["\\$`])/g, "$1");
}
