// A conversation, in which the last answer can be asked for again with the same seed.

import { bubble, button, copy, note, salt } from "./parts.js";
import { figure, RunView } from "./run.js";

export class Chat {
  #turns = []; // {prompt, seed, record, element, view}
  #salt = salt();

  constructor(section, page) {
    this.section = section;
    this.page = page;
  }

  get isEmpty() {
    return this.#turns.length === 0;
  }

  clear() {
    this.#turns = [];
    this.#salt = salt();
    this.section.replaceChildren();
  }

  /** Throws: ServerError. A turn of which nothing came, be it that it was stopped, is taken back. */
  async send(prompt, signal) {
    const element = document.createElement("article");
    element.append(bubble(prompt));
    this.section.append(element);
    const turn = { prompt, seed: this.page.settings.seed(), element, record: null, view: null };
    this.#turns.push(turn);
    try {
      await this.#answer(turn, signal);
    } finally {
      if (!turn.record?.numTokens) this.#takeBack(turn);
    }
  }

  async #again(turn, signal) {
    const before = turn.record;
    this.#salt = salt(); // or the drafters would remember the answer that is asked for again
    await this.#answer(turn, signal);
    turn.element.querySelector(".remarks").append(note(likeness(turn.record, before)));
  }

  async #answer(turn, signal) {
    const { settings, palette } = this.page;
    const view = new RunView(palette);
    turn.view?.element.remove();
    turn.element.querySelector(".after")?.remove();
    Object.assign(turn, { view, record: view.record });
    turn.element.append(view.element);
    this.page.follow(true);
    const speculates = settings.speculates;
    const body = { ...settings.asked(), messages: settings.messages(this.#history(turn)), seed: turn.seed,
                   speculation: { enabled: speculates }, cache_salt: this.#salt };
    try {
      await view.show(body, this.page.key, signal);
    } finally {
      turn.element.append(this.#after(turn, speculates));
      this.page.follow();
    }
  }

  #history(turn) {
    const before = this.#turns.slice(0, this.#turns.indexOf(turn));
    const messages = before.flatMap(({ prompt, record }) => [
      { role: "user", content: prompt }, { role: "assistant", content: record.content }]);
    return [...messages, { role: "user", content: turn.prompt }];
  }

  #after(turn, speculated) {
    const [after, remarks] = ["div", "p"].map((tag) => document.createElement(tag));
    after.className = "after";
    remarks.className = "remarks quiet";
    remarks.append(note(`seed ${turn.seed}`), note(speculated ? "speculation on" : "speculation off"));
    if (turn.record.finish === "stopped") remarks.append(note("stopped"));
    if (turn.record.finish === "length") remarks.append(note("cut at the most tokens"));
    const again = button("Again", "Ask again with the same seed, and with speculation as it is switched now");
    again.className = "again";
    again.addEventListener("click", () => this.page.busyWith((signal) => this.#again(turn, signal)));
    after.append(remarks, copy(() => turn.record.content), again);
    return after;
  }

  #takeBack(turn) {
    turn.element.remove();
    this.page.giveBack(turn.prompt);
    this.#turns = this.#turns.filter((other) => other !== turn);
  }
}

function likeness(now, before) {
  const shared = now.sharedWith(before);
  const shorter = Math.min(now.ids.length, before.ids.length);
  if (!shorter) return "nothing to compare with";
  if (shared < shorter) return `differs from before at token ${shared + 1}`;
  const factor = now.tokensPerSecond / before.tokensPerSecond;
  const speed = Number.isFinite(factor) ? `, ${figure(factor, 2)} times as fast` : "";
  return `the same ${shared} tokens as before${speed}`;
}
