/** The two lists, before and after: painted in pages, linked with each other. */

import { byId, el, weigh } from "./dom.js";
import { drawLines } from "./lines.js";
import { direction, movement } from "./ranking.js";
import { beginning, grouped, number } from "./words.js";

const PAGE = 50;
const ARROWS = { up: "▲", down: "▼", same: "●" };

export class Columns {
  #before = new Map();
  #after = new Map();
  #shown = null;

  constructor() {
    byId("more-before").addEventListener("click", () => this.#more("before"));
    byId("more-after").addEventListener("click", () => this.#more("after"));
    new ResizeObserver(() => this.#redraw()).observe(byId("columns"));
    for (const kind of ["pointerover", "focusin"]) {
      byId("columns").addEventListener(kind, (event) => this.#light(event.target));
    }
    for (const kind of ["pointerleave", "focusout"]) {
      byId("columns").addEventListener(kind, () => this.#light(null));
    }
  }

  /**
   * @param {Object} shown
   * @param {Object[]} shown.before Rows before; with a `hit` where a model made the order.
   * @param {Object[]} shown.after Rows after.
   * @param {string[]} shown.texts
   * @param {?number} shown.topN
   * @param {boolean} shown.explains Whether the model can tell which tokens matched.
   * @param {function(number)} shown.open Called with a rank.
   */
  show(shown) {
    this.#shown = shown;
    for (const side of ["before", "after"]) {
      this.#painted(side).clear();
      byId(side).replaceChildren();
      this.#paint(side);
    }
    this.#redraw();
  }

  /** Put the focus on the button of a rank, if it is painted. */
  focus(rank) {
    const row = this.#shown.after[rank - 1];
    this.#after.get(row?.index)?.querySelector("button").focus();
  }

  #painted = (side) => (side === "before" ? this.#before : this.#after);

  #paint(side) {
    const rows = this.#shown[side];
    const painted = this.#painted(side);
    const next = rows.slice(painted.size, painted.size + PAGE);
    const nodes = next.map((row) => (side === "before" ? this.#rowBefore(row) : this.#rowAfter(row)));
    next.forEach((row, i) => painted.set(row.index, nodes[i]));
    byId(side).append(...nodes);
    const left = rows.length - painted.size;
    byId(`more-${side}`).hidden = left === 0;
    byId(`more-${side}`).textContent = `Show ${Math.min(PAGE, left)} more of ${grouped(left)}`;
    return nodes;
  }

  #more(side) {
    const [first] = this.#paint(side);
    this.#redraw();
    const focused = first.querySelector("button") ?? first;
    if (focused === first) first.setAttribute("tabindex", "-1");
    focused.focus({ preventScroll: true });
  }

  #rowBefore(row) {
    const gone = row.now === null;
    const said = [gone ? el("span.gone", {}, "not kept") : ""];
    if (row.hit) said.unshift(el("span", {}, `score ${number(row.hit.score)} `));
    return el(
      gone ? "li.row.left" : "li.row",
      { "data-index": row.index, value: row.rank },
      el("span.rank", {}, el("span.unseen", {}, "rank "), grouped(row.rank)),
      el("p.text", { dir: "auto", lang: "" }, beginning(this.#shown.texts[row.index])),
      el("p.said", {}, ...said),
    );
  }

  #rowAfter(row) {
    const { texts, topN, explains, open } = this.#shown;
    const kind = direction(row.moved);
    const button = el(
      "button.open",
      { type: "button", "aria-label": `${explains ? "Token heat map" : "Whole text"} of rank ${row.rank}` },
      explains ? "Tokens" : "Text",
    );
    button.addEventListener("click", () => open(row.rank));
    const bar = weigh(el("span.bar", { "aria-hidden": "true" }), row.relevance);
    return el(
      "li.row",
      { "data-index": row.index, value: row.rank },
      el("span.rank", {}, el("span.unseen", {}, "rank "), grouped(row.rank)),
      el(
        "p.said",
        {},
        el(`span.moved.${kind}`, {}, el("span", { "aria-hidden": "true" }, `${ARROWS[kind]} `), movement(row, topN)),
        el("span.was", {}, ` was ${grouped(row.was)}`),
      ),
      el("p.text", { dir: "auto", lang: "" }, beginning(texts[row.index])),
      el(
        "p.scores",
        {},
        el("span.relevance", {}, bar, el("span", { title: "Relevance, 0 to 1" }, el("span.unseen", {}, "relevance "), number(row.relevance))),
        el("span.score", {}, `score ${number(row.score)}`),
      ),
      button,
    );
  }

  #redraw() {
    if (this.#shown) drawLines(byId("lines"), this.#before, this.#after, this.#shown.after);
  }

  #light(target) {
    const index = target?.closest?.("[data-index]")?.dataset.index;
    for (const node of byId("columns").querySelectorAll(".lit")) node.classList.remove("lit");
    if (index === undefined) return;
    for (const node of byId("columns").querySelectorAll(`[data-index="${index}"]`)) node.classList.add("lit");
  }
}
