/** A text cut at the borders of its tokens, without breaking what is one character to the eye. */

import { el } from "./dom.js";
import { printable } from "./words.js";

// Accents, selectors, skin tones: they belong to the character before.
const JOINED = /^[\p{M}\u200d\ufe0e\ufe0f\u{1f3fb}-\u{1f3ff}]/u;
const FLAG = /^[\u{1f1e6}-\u{1f1ff}]/u;
// Characters before and behind the passage that are shown.
const AROUND = 400;

/**
 * @typedef {Object} Segment
 * @property {string} text All segments joined are the text.
 * @property {number[]} tokens That it holds; none between tokens.
 * @property {boolean} inside Whether the model read it.
 */

/**
 * Cut a text. The server counts characters, the browser halves of surrogate pairs.
 *
 * @param {string} text
 * @param {{kind: string, text: string, span: ?number[]}[]} tokens
 * @returns {Segment[]}
 */
export function segments(text, tokens) {
  const own = [...tokens.keys()].filter((i) => !["special", "expansion"].includes(tokens[i].kind));
  const located = own.filter((i) => tokens[i].span);
  if (own.length && !located.length) {
    // The tokenizer cannot tell where its tokens stand: a row of them instead of the text.
    return own.flatMap((i) => [
      { text: tokens[i].text, tokens: [i], inside: true },
      { text: " ", tokens: [], inside: true },
    ]);
  }
  const characters = Array.from(text);
  const groups = [];
  located.sort((a, b) => tokens[a].span[0] - tokens[b].span[0] || tokens[a].span[1] - tokens[b].span[1]);
  for (const i of located) {
    const [start, end] = whole(characters, ...tokens[i].span);
    const last = groups.at(-1);
    if (last && start < last.end) {
      last.end = Math.max(last.end, end);
      last.tokens.push(i);
    } else {
      groups.push({ start, end, tokens: [i] });
    }
  }
  const found = [];
  let at = 0;
  const piece = (start, end) => characters.slice(start, end).join("");
  for (const { start, end, tokens: held } of groups) {
    found.push({ text: piece(at, start), tokens: [], inside: at > 0 });
    found.push({ text: piece(start, end), tokens: held, inside: true });
    at = end;
  }
  found.push({ text: piece(at), tokens: [], inside: false });
  return found.filter((segment) => segment.text);
}

/**
 * The text, a mark for each token.
 *
 * @returns {{node: HTMLElement, marks: Map<number, HTMLElement>}} By the number of the token.
 */
export function markedText(text, tokens) {
  const marks = new Map();
  const parts = segments(text, tokens).map((segment, place) => {
    if (segment.tokens.length) {
      const mark = el("mark", {}, printable(segment.text));
      for (const i of segment.tokens) marks.set(i, mark);
      return mark;
    }
    return segment.inside ? printable(segment.text) : outside(segment.text, place === 0);
  });
  const node = el("blockquote", { dir: "auto", lang: "", tabindex: 0, "aria-label": "Text" }, ...parts);
  if (!parts.length) node.append("(empty)");
  return { node, marks };
}

/** What surrounds the passage; of a long text only the part beside it. */
function outside(text, before) {
  const characters = Array.from(text);
  if (characters.length <= AROUND) return el("span.outside", {}, printable(text));
  const shown = before
    ? `… ${characters.slice(-AROUND).join("")}`
    : `${characters.slice(0, AROUND).join("")} …`;
  return el("span.outside", {}, printable(shown));
}

function whole(characters, start, end) {
  while (start > 0 && joined(characters, start)) start -= 1;
  while (end < characters.length && joined(characters, end)) end += 1;
  return [start, end];
}

function joined(characters, at) {
  const [before, here] = [characters[at - 1], characters[at]];
  return JOINED.test(here) || before === "\u200d" || (FLAG.test(here) && FLAG.test(before));
}
