import type { Json } from "../backend.ts";

/**
 * The `Backend` parts of all network configs that a backend's README shows as `json`: examples that
 * nobody runs do not stay true. A block that is no JSON, or of another backend, is passed over.
 */
export function configsIn(readme: string, name: string): Json[] {
  return [...readme.matchAll(/^```json\n([\s\S]*?)^```/gm)].flatMap(([, text]) => {
    const config = backendIn(text!);
    const type = (config as { Type?: unknown } | null)?.Type;
    return typeof type === "string" && type.toLowerCase() === name ? [config as Json] : [];
  });
}

function backendIn(text: string): unknown {
  try {
    return (JSON.parse(text) as { Backend?: unknown } | null)?.Backend;
  } catch {
    return undefined;
  }
}
