// Which colour each drafter wears, and the legend under an answer.

const NUM_COLOURS = 6; // --drafter-1 … --drafter-6 in style.css
const OWN = "the model’s own";

/** Colours in the order in which drafters turn up; they keep them until the page is left. */
export class Palette {
  #names = [];

  colour(name) {
    if (!this.#names.includes(name)) this.#names.push(name);
    return `var(--drafter-${this.#names.indexOf(name) % NUM_COLOURS + 1})`;
  }

  /** Give an element the colours of these drafters; two at most can be told apart on one token. */
  dress(element, names) {
    names.slice(0, 2).forEach((name, at) => element.style.setProperty(at ? "--hue-2" : "--hue", this.colour(name)));
  }
}

/** Names and counts. Pointing at one, or pressing it, lets its tokens stand out in `answer`. */
export class Legend {
  #counts = new Map();
  #pressed = null;

  constructor(palette, answer) {
    this.palette = palette;
    this.answer = answer;
    this.element = document.createElement("ul");
    this.element.className = "legend";
    this.element.setAttribute("aria-label", "Who wrote how many tokens");
  }

  count(tokens) {
    for (const token of tokens) {
      for (const name of token.by.length ? token.by : [OWN]) this.#entry(name).count += 1;
    }
    for (const entry of this.#counts.values()) entry.number.textContent = entry.count;
  }

  #entry(name) {
    if (!this.#counts.has(name)) this.#counts.set(name, this.#newEntry(name));
    return this.#counts.get(name);
  }

  #newEntry(name) {
    const [item, button, swatch, number] = ["li", "button", "i", "b"].map((tag) => document.createElement(tag));
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.title = "Let these tokens stand out";
    swatch.className = "swatch";
    if (name !== OWN) this.palette.dress(swatch, [name]);
    button.append(swatch, name, " ", number);
    button.addEventListener("pointerenter", () => this.#point(name));
    button.addEventListener("pointerleave", () => this.#point(this.#pressed));
    button.addEventListener("click", () => this.#press(button, name));
    item.append(button);
    const own = this.#counts.get(OWN)?.item ?? null; // stays last
    this.element.insertBefore(item, own);
    return { count: 0, number, item };
  }

  #press(button, name) {
    this.#pressed = this.#pressed === name ? null : name;
    for (const other of this.element.querySelectorAll("button")) {
      other.setAttribute("aria-pressed", String(other === button && this.#pressed === name));
    }
    this.#point(this.#pressed);
  }

  #point(name) {
    this.answer.classList.toggle("pointed", name !== null);
    for (const span of this.answer.querySelectorAll(".token")) {
      const names = span.dataset.by ? span.dataset.by.split("+") : [OWN];
      span.classList.toggle("out", name !== null && names.includes(name));
    }
  }
}
