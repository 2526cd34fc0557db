/** The dialog of one passage: its whole text, and its heat map where the model has one. */

import { explain } from "./api.js";
import { byId, el } from "./dom.js";
import { explained } from "./heatmap.js";
import { beginning, grouped, number } from "./words.js";

const WHY = {
  "cross-encoder": "reads question and passage together, so no token has a similarity of its own",
  cascade: "is a cascade: serve its late-interaction stage as a model of its own",
  other: "does not tell how it scores",
};

export class PassageDialog {
  #shown = null;
  #rank = 0;
  #opened = 0;
  #asking = null;

  /** @param {function(number)} leave Called with the last rank, if it is not that of the opening. */
  constructor(leave) {
    const dialog = byId("passage");
    byId("previous").addEventListener("click", () => this.open(this.#rank - 1));
    byId("next").addEventListener("click", () => this.open(this.#rank + 1));
    byId("close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close(); // beside it
    });
    dialog.addEventListener("close", () => {
      if (dialog.open) return; // the event comes later than the closing: it is open again
      this.#asking?.abort();
      // The browser puts the focus back where it was; after a walk it belongs elsewhere.
      if (this.#rank !== this.#opened) leave(this.#rank);
    });
  }

  /** @param {Object} shown `question`, `model`, `rows`, `texts` of a ranking. */
  use(shown) {
    this.#shown = shown;
    if (byId("passage").open) byId("passage").close();
  }

  async open(rank) {
    const { rows, texts } = this.#shown;
    this.#rank = rank;
    const row = rows[rank - 1];
    const text = texts[row.index];
    byId("passage-title").textContent = `Passage ${grouped(row.index + 1)}, now rank ${grouped(rank)}`;
    byId("passage-note").textContent = `Relevance ${number(row.relevance)}, score ${number(row.score)}`;
    this.#enable("previous", rank > 1);
    this.#enable("next", rank < rows.length);
    byId("passage-problem").hidden = true;
    if (!byId("passage").open) {
      this.#opened = rank;
      byId("passage").showModal();
    }
    byId("passage").scrollTop = 0;
    await this.#fill(text);
  }

  async #fill(text) {
    const { question, model } = this.#shown;
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    const body = byId("passage-body");
    const whole = el("blockquote", { dir: "auto", lang: "", tabindex: 0, "aria-label": "Text" }, beginning(text, 200_000) || "(empty)");
    if (!model.explains) {
      const why = WHY[model.kind] ?? WHY.other;
      body.replaceChildren(whole, el("p.note.why", {}, `No heat map: ${model.id} ${why}. Late-interaction models compare token by token.`));
      return;
    }
    body.replaceChildren(whole, el("p.note", { role: "status" }, "Comparing the tokens…"));
    body.setAttribute("aria-busy", "true");
    try {
      const answer = await explain({ query: question, text, model: model.id }, asking.signal);
      if (asking.signal.aborted) return;
      body.replaceChildren(...explained(answer, text));
    } catch (error) {
      if (asking.signal.aborted) return;
      body.replaceChildren(whole);
      byId("passage-problem").textContent = error.message;
      byId("passage-problem").hidden = false;
    } finally {
      if (this.#asking === asking) body.removeAttribute("aria-busy");
    }
  }

  #enable(id, possible) {
    const button = byId(id);
    // A button that is disabled loses the focus.
    if (!possible && document.activeElement === button) byId("passage-title").focus();
    button.disabled = !possible;
  }
}
