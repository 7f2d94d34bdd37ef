/**
 * A boolean as Go's `strconv.ParseBool` reads it, in etcd's queries and flannel's flags;
 * `undefined` where it does not.
 */
export function goBoolean(text: string): boolean | undefined {
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return false;
  return undefined;
}
