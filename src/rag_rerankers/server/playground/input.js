/** What is asked: the question, the passages that were pasted and loaded, the limits. */

import { byId, el } from "./dom.js";
import { PASSAGES, QUESTION } from "./example.js";
import { readFile, split } from "./passages.js";
import { counted, oneLine } from "./words.js";

// Counting a long paste anew for every key would be felt.
const QUIET_MS = 150;

export class Input {
  #files = [];
  #timer = 0;
  #tell;

  /** @param {function(?string)} tell Shows what is wrong with a file, or takes it away. */
  constructor(tell) {
    this.#tell = tell;
    const passages = byId("passages");
    passages.addEventListener("input", () => {
      passages.setCustomValidity("");
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#count(), QUIET_MS);
    });
    for (const radio of document.getElementsByName("separator")) {
      radio.addEventListener("change", () => this.#count());
    }
    byId("load").addEventListener("click", () => byId("chooser").click());
    byId("chooser").addEventListener("change", async (event) => {
      const chosen = [...event.target.files];
      event.target.value = ""; // the same file may be chosen again
      await this.#load(chosen);
    });
    byId("example").addEventListener("click", () => this.example());
    byId("clear").addEventListener("click", () => {
      this.#fill("", []);
      passages.focus();
    });
    this.#catchDrops();
    this.#count(); // browsers fill forms in again
  }

  get question() {
    return byId("question").value;
  }

  get texts() {
    return [...split(byId("passages").value, this.#separator), ...this.#files.flatMap((file) => file.texts)];
  }

  get topN() {
    const given = byId("top-n").value;
    return given === "" ? null : Number(given);
  }

  get threshold() {
    const given = byId("threshold").value;
    return given === "" ? null : Number(given);
  }

  example() {
    byId("question").value = QUESTION;
    document.querySelector("input[name=separator][value=line]").checked = true;
    this.#fill(PASSAGES.join("\n"), []);
  }

  /** Whether all of it can be sent; the browser says what cannot. */
  check() {
    const missing = this.texts.length ? "" : "Paste passages, or load a file.";
    byId("passages").setCustomValidity(missing);
    return byId("ask").reportValidity();
  }

  get #separator() {
    return document.querySelector("input[name=separator]:checked").value;
  }

  #fill(text, files) {
    byId("passages").value = text;
    this.#files = files;
    this.#tell(null);
    this.#list();
  }

  #count() {
    byId("passages").setCustomValidity("");
    const n = this.texts.length;
    byId("found").textContent = n ? `${counted(n, "passage")} found` : "none yet";
  }

  async #load(files) {
    this.#tell(null);
    const wrong = [];
    for (const file of files) {
      try {
        this.#files.push({ name: file.name, texts: await readFile(file, this.#separator) });
      } catch (error) {
        wrong.push(error.message);
      }
    }
    if (wrong.length) this.#tell(`${wrong.join(". ")}.`);
    this.#list();
  }

  #list() {
    const items = this.#files.map((file) => {
      const name = oneLine(file.name, 40);
      const remove = el("button", { type: "button", "aria-label": `Remove ${name}` }, "✕");
      remove.addEventListener("click", () => {
        this.#files = this.#files.filter((other) => other !== file);
        this.#list();
        byId("load").focus();
      });
      return el("li", {}, el("bdi", {}, name), ` ${counted(file.texts.length, "passage")} `, remove);
    });
    byId("files").replaceChildren(...items);
    this.#count();
  }

  #catchDrops() {
    const zone = byId("drop");
    const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
    // Beside the field a file would replace the page.
    for (const kind of ["dragover", "drop"]) {
      window.addEventListener(kind, (event) => holdsFiles(event) && event.preventDefault());
    }
    zone.addEventListener("dragover", (event) => {
      if (holdsFiles(event)) zone.classList.add("over");
    });
    zone.addEventListener("dragleave", (event) => {
      if (!zone.contains(event.relatedTarget)) zone.classList.remove("over");
    });
    zone.addEventListener("drop", async (event) => {
      zone.classList.remove("over");
      if (holdsFiles(event)) await this.#load([...event.dataTransfer.files]);
    });
  }
}
