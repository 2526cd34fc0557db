/** The models that are served, in the lists to choose from. */

import { listModels } from "./api.js";
import { byId, el } from "./dom.js";
import { counted } from "./words.js";

const KINDS = {
  "late-interaction": "late interaction",
  "cross-encoder": "cross-encoder",
  cascade: "cascade",
  loading: "loading…",
};
const AGAIN_MS = 1000;
const LONGEST_MS = 8000;

export class Models {
  #all = [];
  #timer = 0;
  #wait = AGAIN_MS;

  constructor() {
    byId("model").addEventListener("change", () => this.#describe());
  }

  /** The one that is chosen, as the server describes it. */
  get chosen() {
    return this.find(byId("model").value);
  }

  /** What it is compared with; null: the order given. */
  get baseline() {
    return this.find(byId("baseline").value);
  }

  find(id) {
    return this.#all.find((model) => model.id === id) ?? null;
  }

  /** Ask for the models, and again as long as one is being loaded. */
  async refresh() {
    clearTimeout(this.#timer);
    this.#all = await listModels();
    const first = this.#all.find((model) => model.default) ?? this.#all[0];
    fill(byId("model"), this.#all, byId("model").value || first?.id);
    const order = el("option", { value: "" }, "the order given");
    fill(byId("baseline"), this.#all, byId("baseline").value, order);
    byId("baseline-field").hidden = this.#all.length < 2;
    this.#describe();
    if (this.#all.some((model) => model.kind === "loading")) {
      this.#timer = setTimeout(() => this.refresh().catch(() => {}), this.#wait);
      this.#wait = Math.min(LONGEST_MS, this.#wait * 1.5);
    } else {
      this.#wait = AGAIN_MS;
    }
  }

  #describe() {
    const model = this.chosen;
    const said = [];
    if (model?.kind === "loading") said.push("It is being loaded.");
    if (model?.max_length) said.push(`Reads up to ${counted(model.max_length, "token")}.`);
    if (model?.explains) said.push("Shows which tokens matched.");
    byId("model-note").textContent = said.join(" ");
  }
}

function fill(select, models, chosen, ...first) {
  const options = models.map((model) => {
    const kind = KINDS[model.kind];
    return el("option", { value: model.id }, kind ? `${model.id} (${kind})` : model.id);
  });
  // A list that is open would close: only what has changed is touched.
  const made = [...first, ...options];
  const same = made.length === select.length && made.every((one, i) => one.isEqualNode(select.options[i]));
  if (!same) select.replaceChildren(...made);
  if ([...select.options].some((option) => option.value === chosen)) select.value = chosen;
}
