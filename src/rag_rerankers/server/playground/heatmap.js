/** An explanation: the text in the colours of its matches, and the grid of similarities. */

import { el, weigh } from "./dom.js";
import { heatMap } from "./grid.js";
import { Matrix } from "./matrix.js";
import { markedText } from "./tokens.js";
import { counted, grouped, number, oneLine } from "./words.js";

// Up to here all tokens of the text are shown at first.
const FEW = 40;

/**
 * @param {Object} explanation The server's answer.
 * @param {string} text As it was sent.
 * @returns {Node[]}
 */
export function explained(explanation, text) {
  const { query_tokens: asked, tokens } = explanation;
  const expansions = asked.filter((token) => token.kind === "expansion").length;
  const { node: quote, marks } = markedText(text, tokens);
  const chips = el("fieldset.chips", {}, el("legend", {}, "Query tokens: choose one to see what it matched"));
  const told = el("output.told", { "aria-live": "polite" });
  const place = el("div");
  const all = checkbox("All tokens of the text", tokens.length <= FEW);
  const filling = checkbox(`${counted(expansions, "token")} that only fill up the query`, false);
  filling.label.hidden = expansions === 0;
  let matrix;
  let grid;
  let chosen = null;

  const tint = () => {
    for (const mark of new Set(marks.values())) {
      weigh(mark, 0);
      mark.className = "";
    }
    // Several tokens may share a mark: the warmest counts.
    const warmest = new Map();
    for (const [j, mark] of marks) {
      const value = chosen === null ? matrix.warmth[j] : matrix.similarities[chosen][j];
      const heat = matrix.heat(value);
      if (heat !== null && heat >= (warmest.get(mark) ?? 0)) {
        warmest.set(mark, heat);
        weigh(mark, heat);
      }
    }
    if (chosen !== null) marks.get(matrix.best[chosen])?.classList.add("best");
  };
  const look = (i, j) => {
    told.replaceChildren(...compared(explanation, i, j));
    for (const mark of marks.values()) mark.classList.toggle("looked", mark === marks.get(j));
  };
  const choose = (i) => {
    chosen = i;
    grid.select(i);
    tint();
    told.replaceChildren(...(i === null ? overall(explanation) : matched(explanation, i)));
  };
  const draw = () => {
    matrix = new Matrix(explanation, { filling: filling.input.checked, all: all.input.checked });
    grid = heatMap(explanation, matrix, look);
    if (!matrix.rows.includes(chosen)) chosen = null;
    const options = [null, ...matrix.rows].map((i) => chip(asked, i, i === chosen, () => choose(i)));
    chips.replaceChildren(chips.firstChild, ...options);
    const note = matrix.left ? `The ${grouped(matrix.columns.length)} warmest columns; ${grouped(matrix.left)} more are left out.` : "";
    place.replaceChildren(matrix.columns.length ? grid.node : "Nothing of this text can be matched.", el("p.note", {}, note));
    scale.replaceChildren(...legend(matrix));
    choose(chosen);
  };
  const scale = el("p.scale", { "aria-label": "Colours" });
  place.addEventListener("mouseleave", () => {
    if (!place.contains(document.activeElement)) choose(chosen);
  });
  all.input.addEventListener("change", draw);
  filling.input.addEventListener("change", draw);
  draw();
  return [
    el("p.note", {}, howItAddsUp(explanation)),
    chips,
    quote,
    el("p.note", {}, partRead(explanation, text)),
    el("div.reading", {}, told, scale),
    el("h3", {}, "Heat map"),
    el("p.note", {}, "Rows are query tokens, columns tokens of the text; each row's best is framed, and the framed ones make up the score. Arrow keys move."),
    el("div.options", {}, all.label, filling.label),
    place,
  ];
}

function howItAddsUp({ query_tokens: asked, mean, score }) {
  const how = mean ? "mean" : "sum";
  return `Every query token is compared with every token of the text, and its best similarity counts: the score, ${number(score)}, is the ${how} over ${counted(asked.length, "query token")}.`;
}

/** Which part of a long text was compared. */
function partRead({ tokens }, text) {
  const spans = tokens.flatMap((token) => (token.span ? [token.span] : []));
  if (!spans.length) return "";
  const start = Math.min(...spans.map(([from]) => from));
  const end = Math.max(...spans.map(([, to]) => to));
  const characters = Array.from(text);
  const rest = characters.slice(0, start).concat(characters.slice(end)).join("");
  if (!rest.trim()) return "";
  return `Characters ${grouped(start + 1)} to ${grouped(end)} of ${grouped(characters.length)} were compared; what is small and pale was not.`;
}

function overall() {
  return ["Each token is as dark as its best similarity to the query."];
}

function matched(explanation, i) {
  const { query_tokens: asked, tokens, matches } = explanation;
  const match = matches[i];
  return [named(asked[i]), " matched ", named(tokens[match.token]), `, ${number(match.similarity)}`];
}

function compared(explanation, i, j) {
  const { query_tokens: asked, tokens, similarities, matches } = explanation;
  const value = similarities[i][j];
  if (value === null) return [named(tokens[j]), " is read, but not compared"];
  const best = matches[i].token === j ? ": its best" : "";
  return [named(asked[i]), " × ", named(tokens[j]), ` ${number(value)}${best}`];
}

function legend(matrix) {
  if (!matrix.columns.length) return [];
  return [
    el("span", {}, number(matrix.lowest, 2)),
    el("span.ramp", { "aria-hidden": "true" }),
    el("span", {}, number(matrix.highest, 2)),
  ];
}

function chip(asked, i, checked, choose) {
  const input = el("input", { type: "radio", name: "query-token", value: i ?? "all", checked });
  input.addEventListener("change", choose);
  const text = i === null ? "all" : named(asked[i]);
  return el(i === null ? "label.all" : `label.is-${asked[i].kind}`, {}, input, el("span", {}, text));
}

function checkbox(text, checked) {
  const input = el("input", { type: "checkbox", checked });
  return { input, label: el("label", {}, input, ` ${text}`) };
}

const named = (token) => el("bdi", {}, oneLine(token.text));
