// What is told of the token that one points at, or has walked to with the arrow keys.

const MARGIN_PX = 8;

/** `find` gives what an answer knows of one of its spans: `{token, round, pointAt}`, or undefined. */
export class Tip {
  #shown = null;

  constructor(element, find) {
    this.element = element;
    this.find = find;
    for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, (event) => this.#see(event.target));
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.hide());
    document.addEventListener("scroll", () => this.hide(), { capture: true, passive: true });
  }

  hide() {
    this.element.hidden = true;
    this.#shown?.known.pointAt(null);
    this.#shown?.span.removeAttribute("aria-describedby");
    this.#shown = null;
  }

  #see(target) {
    const span = target.closest?.(".token") ?? null;
    if (span === this.#shown?.span) return;
    this.hide();
    const known = span && this.find(span);
    if (!known) return;
    this.#shown = { span, known };
    known.pointAt(known.round.index);
    this.element.replaceChildren(...lines(known));
    this.element.hidden = false;
    span.setAttribute("aria-describedby", this.element.id);
    this.#place(span.getClientRects()[0]);
  }

  #place(around) {
    const { width, height } = this.element.getBoundingClientRect();
    const room = document.documentElement.clientWidth - width - MARGIN_PX;
    const left = Math.max(MARGIN_PX, Math.min(room, around.left + around.width / 2 - width / 2));
    const above = around.top - height - MARGIN_PX;
    const top = above > MARGIN_PX ? above : around.bottom + MARGIN_PX;
    this.element.style.left = `${left}px`;
    this.element.style.top = `${top}px`;
  }
}

function lines({ token, round }) {
  const name = (token.thought + token.text).replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥");
  const who = token.by.length ? `guessed by ${token.by.join(" and ")}` : "the model’s own";
  return [line("b", name), line("span", who), line("small", story(round) + (token.id === null ? "" : `, id ${token.id}`))];
}

function line(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function story(round) {
  if (!round.index) return "from the prompt’s pass";
  const accepted = round.tokens.filter((token) => token.by.length).length;
  const drafted = round.drafted === null ? "" : ` of ${round.drafted}`;
  return `round ${round.index}: ${accepted}${drafted} guesses accepted`;
}
