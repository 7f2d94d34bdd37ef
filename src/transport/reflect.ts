/**
 * tsyringe, which @peculiar/x509 uses, asks for three functions of the metadata proposal and
 * refuses to load without them. These are those three; the whole polyfill would be one more
 * package. Import this file before @peculiar/x509.
 */
type Table = Map<unknown, unknown>;

interface Metadata {
  defineMetadata?(key: unknown, value: unknown, target: object): void;
  getOwnMetadata?(key: unknown, target: object): unknown;
  getMetadata?(key: unknown, target: object): unknown;
}

const tables = new WeakMap<object, Table>();
const reflect = Reflect as Metadata;

reflect.defineMetadata ??= (key, value, target) => {
  const table = tables.get(target) ?? new Map();
  tables.set(target, table.set(key, value));
};

reflect.getOwnMetadata ??= (key, target) => tables.get(target)?.get(key);

reflect.getMetadata ??= (key, target) => {
  for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at)) {
    const table = tables.get(at);
    if (table?.has(key)) return table.get(key);
  }
  return undefined;
};
