/** The page: what is typed goes to the server, what it answers goes into the columns. */

import { ApiError, rank, setKey } from "./api.js";
import { Columns } from "./columns.js";
import { byId, el } from "./dom.js";
import { Input } from "./input.js";
import { Models } from "./models.js";
import { PassageDialog } from "./passage.js";
import { compare, tally } from "./ranking.js";
import { counted, duration, grouped } from "./words.js";

const AGAIN_MS = 1000;

const models = new Models();
const input = new Input((message) => problem(message));
const columns = new Columns();
const dialog = new PassageDialog((at) => columns.focus(at));
let running = null;

function status(message) {
  byId("status").textContent = message;
}

function problem(message, retry) {
  const box = byId("problem");
  box.hidden = !message;
  box.replaceChildren(...(message ? [el("p", {}, message)] : []));
  if (message && retry) {
    const again = el("button", { type: "button" }, "Try again");
    again.addEventListener("click", retry);
    box.append(again);
  }
}

function failed(error, retry) {
  status("");
  if (error.status === 401) {
    byId("key-form").hidden = false;
    byId("key").focus();
    problem(`${error.message}.`);
    return;
  }
  const after = error.retryAfter ? ` Try again in ${counted(error.retryAfter, "second")}.` : "";
  const code = error.status ? ` (${error.status})` : "";
  problem(`${error.message}${code}${after}`, retry);
  if (!(error instanceof ApiError)) throw error; // a mistake of the page: the console has it
}

async function loadModels() {
  problem(null);
  try {
    await models.refresh();
  } catch (error) {
    failed(error, loadModels);
    return false;
  }
  return true;
}

/** Rank; as long as the model is being loaded, wait and try again. */
async function ranked(request, signal) {
  for (let waited = false; ; waited = true) {
    try {
      const answer = await rank(request, signal);
      if (waited) await models.refresh(); // it knows more of itself now
      return answer;
    } catch (error) {
      if (error.status !== 503 || error.retryAfter === null) throw error;
      await models.refresh(); // full and stopping servers say 503 too
      if (models.find(request.model)?.kind !== "loading") throw error;
      status(`The model is loading (${request.model}). The ranking follows by itself.`);
      await pause(AGAIN_MS, signal);
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

async function rerank() {
  if (!input.check()) return;
  running?.abort();
  const own = new AbortController();
  running = own;
  problem(null);
  const { question, texts, topN, threshold } = input;
  status(`Ranking ${counted(texts.length, "passage")}…`);
  byId("stop").hidden = false;
  byId("results").setAttribute("aria-busy", "true");
  try {
    if (!models.chosen) await models.refresh();
    const model = models.chosen;
    const asked = { query: question, texts, model: model.id };
    // One after the other: together they would slow each other down.
    const other = models.baseline && models.baseline.id !== model.id ? models.baseline : null;
    const first = other && (await ranked({ ...asked, model: other.id }, own.signal));
    const answer = await ranked({ ...asked, top_n: topN, threshold }, own.signal);
    if (running !== own) return;
    show({ question, texts, topN, model: models.find(model.id) ?? model, other, first, answer });
  } catch (error) {
    if (running !== own) return;
    if (error.name === "AbortError") status("Stopped.");
    else failed(error, rerank);
  } finally {
    if (running === own) {
      running = null;
      byId("stop").hidden = true;
      byId("results").removeAttribute("aria-busy");
    }
  }
}

function show({ question, texts, topN, model, other, first, answer }) {
  const order = first ? first.hits.map((hit) => hit.index) : texts.map((_, i) => i);
  const { before, after } = compare(order, answer.hits, topN);
  first?.hits.forEach((hit, i) => Object.assign(before[i], { hit }));
  byId("before-title").textContent = first ? other.id : "Before";
  byId("after-title").textContent = first ? model.id : "After";
  byId("empty").hidden = true;
  byId("result").hidden = false;
  byId("nothing").hidden = after.length > 0;
  byId("nothing").textContent = "No passage is relevant enough: lower the relevance that is asked for.";
  figures({ texts, answer, first, after, model, other });
  dialog.use({ question, texts, rows: after, model });
  columns.show({ before, after, texts, topN, explains: model.explains, open: (at) => dialog.open(at) });
  const best = after.length ? ` First now: passage ${grouped(after[0].index + 1)}.` : "";
  status(`Ranked ${counted(texts.length, "passage")} in ${duration(answer.seconds)}.${best}`);
}

function figures({ texts, answer, first, after, model, other }) {
  const { up, down, same } = tally(after);
  const shown = [
    ["On the server", duration(answer.seconds), `${duration(answer.roundTrip)} round trip`],
    ["Tokens read", grouped(answer.tokens), cut(answer, model)],
    ["Passages", grouped(texts.length), after.length < texts.length ? `${grouped(after.length)} kept` : ""],
    ["Moved", grouped(up + down), `${grouped(up)} up, ${grouped(down)} down, ${grouped(same)} unchanged`],
  ];
  if (first) shown.splice(1, 0, [other.id, duration(first.seconds), `${duration(first.roundTrip)} round trip`]);
  if (first) shown[0][0] = model.id;
  byId("figures").replaceChildren(
    ...shown.map(([name, value, note]) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, el("b", {}, value), el("span", {}, note))),
    ),
  );
}

function cut({ truncated }, model) {
  if (!truncated) return "";
  const to = model.max_length ? ` to ${grouped(model.max_length)}` : "";
  return `${counted(truncated, "passage")} cut${to}`;
}

function tryExample() {
  input.example();
  byId("ask").requestSubmit();
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  rerank();
});
byId("try").addEventListener("click", tryExample);
byId("stop").addEventListener("click", () => running?.abort());
byId("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    setKey(byId("key").value);
  } catch (error) {
    problem(error.message);
    return;
  }
  if (await loadModels()) {
    byId("key").value = "";
    byId("key-form").hidden = true;
    status("The key is good.");
    byId("question").focus();
  }
});
byId("question").addEventListener("keydown", (event) => {
  // A question is one line, however long; an input method uses Enter for itself.
  if (event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.metaKey || event.isComposing) return;
  event.preventDefault();
  byId("ask").requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || byId("passage").open) return;
  event.preventDefault();
  rerank();
});

loadModels();
