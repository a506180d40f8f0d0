// Puts the page together: views, the composer, keys, errors.

import { modelNames, ServerError } from "./api.js";
import { Chat } from "./chat.js";
import { Compare } from "./compare.js";
import { Palette } from "./drafters.js";
import { button } from "./parts.js";
import { knownOf } from "./run.js";
import { Settings, storedKey, storeKey } from "./settings.js";
import { Tip } from "./tip.js";

const SUGGESTIONS = [
  "Write a Python class for a stack with push, pop and peek, then the same class with type hints.",
  "Repeat this list, sorted by name: pear, apple, quince, fig, cherry, plum.",
  "Explain in three short paragraphs why the sky is blue.",
];
const NEAR_PX = 80; // how near to the end counts as reading along

const at = (id) => document.getElementById(id);
const [prompt, send, error, keyForm, main] = ["prompt", "send", "error", "key-form", "main"].map(at);

/** What both views are given. */
class Page {
  #stopper = null;
  #atEnd = true;

  constructor() {
    this.palette = new Palette();
    this.settings = new Settings(at("settings-form"), at("speculation"));
    this.key = storedKey();
    this.views = { chat: new Chat(at("chat"), this), compare: new Compare(at("compare"), this) };
    this.name = "chat";
    main.addEventListener("scroll", () => { this.#atEnd = isAtEnd(); }, { passive: true });
    main.addEventListener("grown", () => this.follow());
  }

  get view() {
    return this.views[this.name];
  }

  get isBusy() {
    return this.#stopper !== null;
  }

  stop() {
    this.#stopper?.abort();
  }

  /** Scroll along with what is written, unless the reader has left the end; `always` takes them there. */
  follow(always = false) {
    if (always || this.#atEnd) main.scrollTop = main.scrollHeight;
  }

  /** What could not be sent goes back to where it was written. */
  giveBack(text) {
    prompt.value ||= text;
    fit();
  }

  /** Do one thing at a time. */
  async busyWith(work) {
    if (this.isBusy) return;
    this.#begin();
    try {
      await work(this.#stopper.signal);
    } catch (failure) {
      this.#tell(failure);
    } finally {
      this.#end();
    }
  }

  /** Greet the server: its model's name, or what is missing. */
  async greet() {
    try {
      const [name] = await modelNames(this.key);
      at("model").textContent = at("model-below").textContent = name;
      document.title = `${name} · Outrider`;
    } catch (failure) {
      this.#tell(failure);
    }
  }

  show(name) {
    this.name = name;
    for (const other of Object.keys(this.views)) {
      at(other).hidden = other !== name;
      at(`to-${other}`).setAttribute("aria-pressed", String(other === name));
    }
    at("speculation").disabled = name === "compare";
    document.body.dataset.view = name;
    this.refresh();
  }

  refresh() {
    at("intro").hidden = !this.view.isEmpty;
  }

  /** Whether the settings can be used; if not, shows which cannot. */
  check() {
    const wrong = this.settings.wrong;
    if (!wrong) return true;
    openSettings(true);
    wrong.focus();
    error.textContent = `${wrong.labels[0].firstChild.textContent.trim()}: ${wrong.validationMessage}`;
    error.hidden = false;
    return false;
  }

  #begin() {
    this.#stopper = new AbortController();
    error.hidden = true;
    at("intro").hidden = true;
    at("status").textContent = "The answer is coming.";
    setBusy(true);
  }

  #end() {
    this.#stopper = null;
    setBusy(false);
    this.refresh();
    const records = [...main.querySelectorAll("section:not([hidden]) .strip")];
    at("status").textContent = records.length ? `Done: ${records.at(-1).getAttribute("aria-label")}.` : "";
  }

  #tell(failure) {
    if (!(failure instanceof ServerError)) console.error(failure);
    const asksKey = failure.status === 401;
    keyForm.hidden = !asksKey;
    error.textContent = asksKey && !this.key ? "This server asks for an API key." : failure.message;
    error.hidden = false;
    if (asksKey) at("key").focus();
  }
}

const page = new Page();
new Tip(at("tip"), knownOf);

function isAtEnd() {
  return main.scrollHeight - main.scrollTop - main.clientHeight < NEAR_PX;
}

function setBusy(isBusy) {
  document.body.classList.toggle("busy", isBusy);
  send.textContent = isBusy ? "Stop" : "Send";
  for (const id of ["new", "to-chat", "to-compare"]) at(id).disabled = isBusy;
}

function openSettings(isOpen) {
  at("settings").hidden = !isOpen;
  at("to-settings").setAttribute("aria-expanded", String(isOpen));
}

function fit() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight + prompt.offsetHeight - prompt.clientHeight}px`;
}

async function submit() {
  if (page.isBusy) return page.stop();
  const text = prompt.value.trim();
  if (!text) return prompt.focus();
  if (!page.check()) return;
  prompt.value = "";
  fit();
  await page.busyWith((signal) => page.view.send(text, signal));
  if (keyForm.hidden && error.hidden) prompt.focus();
}

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
prompt.addEventListener("input", fit);
prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!page.isBusy) submit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") page.stop();
});
keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  page.key = at("key").value.trim();
  storeKey(page.key);
  keyForm.hidden = error.hidden = true;
  at("key").value = "";
  page.greet();
  prompt.focus();
});
at("new").addEventListener("click", () => {
  page.view.clear();
  error.hidden = true;
  page.refresh();
  prompt.focus();
});
at("to-settings").addEventListener("click", () => openSettings(at("settings").hidden));
for (const name of Object.keys(page.views)) at(`to-${name}`).addEventListener("click", () => page.show(name));
at("suggestions").append(...SUGGESTIONS.map((text) => {
  const item = document.createElement("li");
  const element = button(text, "Ask this");
  element.addEventListener("click", () => {
    prompt.value = text;
    submit();
  });
  item.append(element);
  return item;
}));

page.show("chat");
page.greet();
prompt.focus();
