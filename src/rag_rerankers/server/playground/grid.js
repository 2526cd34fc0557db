/** The heat map: a grid that arrow keys walk through. */

import { el, weigh } from "./dom.js";
import { number, oneLine } from "./words.js";

const PAGE = 8;
// With more columns numbers only help one cell at a time, below the grid.
const READABLE = 16;

/**
 * @param {Object} explanation The server's answer.
 * @param {import("./matrix.js").Matrix} matrix
 * @param {function(number, number)} look Called with the query token and the token looked at.
 * @returns {{node: HTMLElement, select: function(?number)}} `select` frames the row of a query token.
 */
export function heatMap(explanation, matrix, look) {
  const { query_tokens: asked, tokens } = explanation;
  const heads = matrix.columns.map((j) =>
    el(`th.is-${tokens[j].kind}`, { scope: "col", role: "columnheader" }, el("span", {}, name(tokens[j]))),
  );
  const cells = matrix.rows.map((i) => matrix.columns.map((j) => cell(matrix, i, j)));
  const lines = matrix.rows.map((i, r) =>
    el(
      `tr.is-${asked[i].kind}`,
      { role: "row" },
      el("th", { scope: "row", role: "rowheader" }, name(asked[i])),
      ...cells[r],
    ),
  );
  const table = el(
    matrix.columns.length > READABLE ? "table.heat.dense" : "table.heat",
    { role: "grid", "aria-label": "Similarities of query tokens (rows) and tokens of the text (columns)", "aria-readonly": "true" },
    el("thead", {}, el("tr", { role: "row" }, el("td"), ...heads)),
    el("tbody", {}, ...lines),
  );
  const place = (node) => {
    const r = cells.findIndex((row) => row.includes(node));
    return r < 0 ? null : [r, cells[r].indexOf(node)];
  };
  const shown = (event) => {
    const at = place(event.target.closest("td"));
    if (at) look(matrix.rows[at[0]], matrix.columns[at[1]]);
  };
  let current = cells[0]?.[0];
  current?.setAttribute("tabindex", "0");
  table.addEventListener("mouseover", shown);
  table.addEventListener("focusin", (event) => {
    const node = event.target.closest("td");
    if (!place(node)) return;
    current.setAttribute("tabindex", "-1");
    current = node;
    current.setAttribute("tabindex", "0");
    shown(event);
  });
  table.addEventListener("click", (event) => event.target.closest("td[tabindex]")?.focus());
  table.addEventListener("keydown", (event) => {
    const at = place(event.target);
    const to = at && !event.altKey && !event.metaKey && target(event, at, cells);
    if (!to) return;
    event.preventDefault();
    cells[to[0]][to[1]].focus();
  });
  const node = el("div.wide", {}, table);
  return {
    node,
    select: (chosen) => matrix.rows.forEach((i, r) => lines[r].classList.toggle("chosen", i === chosen)),
  };
}

function target({ key, ctrlKey }, [row, column], cells) {
  const [bottom, right] = [cells.length - 1, cells[0].length - 1];
  const to = {
    ArrowUp: [row - 1, column],
    ArrowDown: [row + 1, column],
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    PageUp: [row - PAGE, column],
    PageDown: [row + PAGE, column],
    Home: [ctrlKey ? 0 : row, 0],
    End: [ctrlKey ? bottom : row, right],
  }[key];
  return to && [Math.min(bottom, Math.max(0, to[0])), Math.min(right, Math.max(0, to[1]))];
}

function cell(matrix, i, j) {
  const value = matrix.similarities[i][j];
  const best = matrix.best[i] === j;
  const text = value === null ? "–" : number(value, 2);
  const made = el(
    best ? "td.best" : "td",
    { role: "gridcell", tabindex: -1 },
    el("span", {}, text),
    // The frame in words.
    ...(best ? [el("span.unseen", {}, ", best")] : []),
  );
  return weigh(made, matrix.heat(value) ?? 0);
}

const name = (token) => el("bdi", {}, oneLine(token.text, 20));
