// The text of an answer as it grows: a span a token, in a block a line, so that lines can turn into code.

const FENCE = /^\s{0,3}(```|~~~)/;

/** Text goes in as text only. `textContent` of the element is always exactly the answer. */
export class Answer {
  #line = null;
  #opened = ""; // the fence that the next lines are within
  #last = null; // the span that tab stops and arrows have reached

  constructor(palette) {
    this.palette = palette;
    this.rounds = new WeakMap(); // span: what is told when one points at it
    this.element = document.createElement("div");
    this.element.className = "answer";
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", "Answer; arrow keys walk along its tokens");
    this.element.setAttribute("aria-live", "polite");
    this.element.setAttribute("aria-busy", "true"); // read out when it is whole, not token by token
    this.element.addEventListener("keydown", (event) => this.#walk(event));
    this.#newLine();
  }

  add(round) {
    for (const token of round.tokens) {
      const [first, ...others] = token.text.split("\n");
      this.#write(first + (others.length ? "\n" : ""), token, round);
      others.forEach((text, at) => {
        this.#newLine();
        this.#write(text + (at < others.length - 1 ? "\n" : ""), token, round);
      });
    }
  }

  /** No more comes. */
  end() {
    this.element.setAttribute("aria-busy", "false");
  }

  #write(text, token, round) {
    if (!text) return;
    const span = document.createElement("span");
    span.className = "token";
    span.textContent = text;
    if (token.by.length) {
      span.dataset.by = token.by.join("+");
      this.palette.dress(span, token.by);
    }
    if (text.endsWith("\n")) span.classList.add("breaks");
    this.rounds.set(span, { token, round });
    this.#line.append(span);
    this.#judge();
  }

  #newLine() {
    const isCode = this.#opened !== "";
    this.#line = document.createElement("div");
    this.#line.className = isCode ? "line code" : "line";
    this.element.append(this.#line);
  }

  /** A line is a fence as soon as it begins like one; what follows is code until the same again. */
  #judge() {
    if (this.#line.classList.contains("fence")) return;
    const found = FENCE.exec(this.#line.textContent)?.[1] ?? "";
    if (!found || (this.#opened && found !== this.#opened)) return;
    this.#opened = this.#opened ? "" : found;
    this.#line.className = this.#opened ? "line code fence opens" : "line code fence closes";
  }

  #walk(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    const spans = [...this.element.querySelectorAll(".token")];
    if (!spans.length) return;
    event.preventDefault();
    const from = spans.indexOf(document.activeElement) >= 0 ? spans.indexOf(document.activeElement) : -1;
    const to = Math.min(spans.length - 1, Math.max(0, from + steps[event.key]));
    this.#last?.removeAttribute("tabindex");
    this.#last = spans[to];
    this.#last.tabIndex = -1;
    this.#last.focus();
  }
}
