// A small live picture of rounds: a bar each, from the bottom up the tokens it gave, above them what was guessed in vain.

const NAMESPACE = "http://www.w3.org/2000/svg";
const PITCH_PX = 7; // a bar and the gap beside it
const BAR = 5 / PITCH_PX;
const LOWEST_TOP = 6; // tokens; higher where a round has more
const HIGHEST_TOP = 24; // whole trees are guessed, and would leave nothing to see of the rest

/** Bars are drawn once, one unit a round and one a token; what is seen of them is for the view box to say. */
export class Strip {
  #rounds = []; // how high each is
  #isAsked = false;

  constructor(palette) {
    this.palette = palette;
    this.element = document.createElementNS(NAMESPACE, "svg");
    this.element.setAttribute("class", "strip");
    this.element.setAttribute("role", "img");
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("aria-label", "No rounds yet");
    new ResizeObserver(() => this.#frame()).observe(this.element);
  }

  add(round) {
    const column = document.createElementNS(NAMESPACE, "g");
    const x = this.#rounds.length;
    column.dataset.round = round.index;
    round.tokens.forEach((token, at) => column.append(this.#cell(x, at, 1, token.by)));
    const accepted = round.tokens.filter((token) => token.by.length).length;
    const inVain = Math.max(0, (round.drafted ?? 0) - accepted);
    if (inVain) column.append(this.#cell(x, round.tokens.length, inVain, null));
    this.element.append(column);
    this.#rounds.push(round.tokens.length + inVain);
    if (!this.#isAsked) {
      this.#isAsked = true;
      requestAnimationFrame(() => this.#frame());
    }
  }

  /** Words for those who do not see it. */
  describe(text) {
    this.element.setAttribute("aria-label", text);
  }

  /** Let one round stand out; null: none. */
  point(index) {
    for (const column of this.element.children) {
      column.classList.toggle("out", index !== null && Number(column.dataset.round) === index);
    }
  }

  #cell(x, y, height, by) {
    const rect = document.createElementNS(NAMESPACE, "rect");
    const place = { x: x + (1 - BAR) / 2, y: -(y + height) + 0.08, width: BAR, height: height - 0.16 };
    for (const [name, value] of Object.entries(place)) rect.setAttribute(name, String(value));
    rect.setAttribute("class", by === null ? "vain" : by.length ? "guessed" : "own");
    if (by?.length) this.palette.dress(rect, by);
    return rect;
  }

  #frame() {
    this.#isAsked = false;
    const width = Math.max(1, Math.floor(this.element.clientWidth / PITCH_PX));
    const first = Math.max(0, this.#rounds.length - width);
    const top = Math.min(HIGHEST_TOP, Math.max(LOWEST_TOP, ...this.#rounds.slice(first)));
    this.element.setAttribute("viewBox", `${first} ${-top} ${width} ${top}`);
  }
}
