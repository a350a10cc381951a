/**
 * XML as the query services (EC2, STS) answer with it: elements and text. No attributes but the root's
 * namespace, no parsing: requests are forms.
 */

/** A text, or an element: a name and what is inside it. `undefined` content: the element is left out. */
export type XmlNode = readonly [name: string, content: string | readonly XmlNode[] | undefined];

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
    // deno-lint-ignore no-control-regex -- XML 1.0 has no way to write them; EC2 replaces them too
    .replace(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, "\ufffd");
}

/** A document with `root` as its element. */
export function xmlDocument(
  root: { readonly name: string; readonly namespace: string },
  content: readonly XmlNode[],
): Uint8Array {
  const text = `<?xml version="1.0" encoding="UTF-8"?>\n<${root.name} xmlns="${root.namespace}">` +
    `${content.map(render).join("")}</${root.name}>`;
  return new TextEncoder().encode(text);
}

function render([name, content]: XmlNode): string {
  if (content === undefined) return "";
  const inside = typeof content === "string" ? escapeXml(content) : content.map(render).join("");
  return inside === "" ? `<${name}/>` : `<${name}>${inside}</${name}>`;
}
