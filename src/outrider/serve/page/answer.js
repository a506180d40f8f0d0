// The text of an answer as it grows: a span a token, in a block a line, so that lines can turn into code.

const FENCE = /^\s{0,3}(```|~~~)/;

/** Text goes in as text only. The `textContent` of the element is exactly the thoughts and the answer. */
export class Answer {
  #line = null;
  #isThought = false;
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
      this.#writeLines(token.thought, token, round, true);
      this.#writeLines(token.text, token, round, false);
    }
  }

  /** No more comes. */
  end() {
    this.element.setAttribute("aria-busy", "false");
  }

  #writeLines(text, token, round, isThought) {
    if (!text) return;
    if (isThought !== this.#isThought) this.#turnTo(isThought);
    const [first, ...others] = text.split("\n");
    this.#write(first + (others.length ? "\n" : ""), token, round);
    others.forEach((rest, at) => {
      this.#newLine();
      this.#write(rest + (at < others.length - 1 ? "\n" : ""), token, round);
    });
  }

  #turnTo(isThought) {
    this.#isThought = isThought;
    this.#opened = "";
    if (this.#line.childElementCount) this.#newLine();
    else this.#line.className = isThought ? "line thought" : "line";
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
    span.classList.toggle("breaks", text.endsWith("\n"));
    span.classList.toggle("blank", !text.trim());
    this.rounds.set(span, { token, round });
    this.#line.append(span);
    this.#judge();
  }

  #newLine() {
    this.#line = document.createElement("div");
    this.#line.className = this.#opened ? "line code" : this.#isThought ? "line thought" : "line";
    this.element.append(this.#line);
  }

  /** A line is a fence as soon as it begins like one; what follows is code until the same again. */
  #judge() {
    if (this.#isThought || this.#line.classList.contains("fence")) return;
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
    const to = Math.min(spans.length - 1, Math.max(0, spans.indexOf(document.activeElement) + steps[event.key]));
    this.#last?.removeAttribute("tabindex");
    this.#last = spans[to];
    this.#last.tabIndex = -1;
    this.#last.focus();
  }
}
