// What the user has set: kept in this browser, the key only as long as the tab.

const FIELDS = ["system", "temperature", "top-p", "max-tokens", "seed"];
const STORE = "outrider.settings";
const KEY = "outrider.key";

export class Settings {
  constructor(form, speculation) {
    this.form = form;
    this.speculation = speculation;
    this.inputs = Object.fromEntries(FIELDS.map((name) => [name, document.getElementById(name)]));
    this.#restore();
    form.addEventListener("input", () => this.#store());
    form.addEventListener("submit", (event) => event.preventDefault());
    speculation.addEventListener("click", () => {
      speculation.setAttribute("aria-checked", String(!this.speculates));
      this.#store();
    });
  }

  get speculates() {
    return this.speculation.getAttribute("aria-checked") === "true";
  }

  /** The first input whose value cannot be used, or null. */
  get wrong() {
    return Object.values(this.inputs).find((input) => !input.validity.valid) ?? null;
  }

  /** The seed that is set, or else a new one. */
  seed() {
    const given = this.inputs.seed.valueAsNumber;
    return Number.isNaN(given) ? crypto.getRandomValues(new Uint32Array(1))[0] : given;
  }

  /** The fields of a request that these settings decide, all but the seed. */
  asked() {
    const number = (name) => this.inputs[name].valueAsNumber;
    return { temperature: number("temperature"), top_p: number("top-p"), max_tokens: number("max-tokens") };
  }

  /** A conversation so far as messages, the system prompt first. */
  messages(history) {
    const system = this.inputs.system.value.trim();
    return system ? [{ role: "system", content: system }, ...history] : history;
  }

  #restore() {
    const kept = JSON.parse(get(localStorage, STORE) ?? "{}");
    for (const [name, input] of Object.entries(this.inputs)) {
      if (typeof kept[name] === "string") input.value = kept[name];
    }
    if (kept.speculation === false) this.speculation.setAttribute("aria-checked", "false");
  }

  #store() {
    const values = Object.entries(this.inputs).map(([name, input]) => [name, input.value]);
    put(localStorage, STORE, JSON.stringify({ ...Object.fromEntries(values), speculation: this.speculates }));
  }
}

/** The API key, where one was given in this tab. */
export const storedKey = () => get(sessionStorage, KEY) ?? "";
export const storeKey = (key) => put(sessionStorage, KEY, key);

// Storage may be forbidden; then things are kept as long as the page.
const fallback = new Map();

function get(storage, name) {
  try {
    return storage.getItem(name);
  } catch {
    return fallback.get(name) ?? null;
  }
}

function put(storage, name, value) {
  try {
    storage.setItem(name, value);
  } catch {
    fallback.set(name, value);
  }
}
