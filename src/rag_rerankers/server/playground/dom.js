/** Nodes from names and strings; a string never becomes HTML. */

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/**
 * Make an element.
 *
 * @param {string} name Of the tag, with classes: "p.note".
 * @param {Object} attributes Attributes; `false` and `null` are left out, `true` is "".
 * @param {...(Node|string)} children Strings become text.
 */
export function el(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  assign(made, attributes);
  made.append(...children);
  return made;
}

export function svg(tag, attributes = {}) {
  return assign(document.createElementNS(SVG, tag), attributes);
}

/** A share of a whole, for the style sheet: 0 to 1. */
export function weigh(node, value) {
  node.style.setProperty("--w", Math.min(1, Math.max(0, value)).toFixed(3));
  return node;
}

function assign(node, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(key, value === true ? "" : String(value));
    }
  }
  return node;
}
