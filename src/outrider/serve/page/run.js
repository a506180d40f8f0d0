// One answer: asked for, streamed, shown with its figures.

import { Answer } from "./answer.js";
import { chunksOf } from "./api.js";
import { Legend } from "./drafters.js";
import { Record } from "./record.js";
import { Strip } from "./strip.js";

const VIEWS = new WeakMap(); // an answer's element: the view it belongs to

/** What an answer's view knows of one of its tokens, for the tip. */
export function knownOf(span) {
  const view = VIEWS.get(span.closest(".answer"));
  const known = view?.answer.rounds.get(span);
  return known && { ...known, pointAt: (index) => view.strip.point(index) };
}

/** The text of an answer, the picture of its rounds, figures, legend. */
export class RunView {
  constructor(palette) {
    this.record = new Record();
    this.answer = new Answer(palette);
    this.strip = new Strip(palette);
    this.legend = new Legend(palette, this.answer.element);
    this.figures = new Figures();
    this.element = document.createElement("div");
    this.element.className = "run waiting";
    const about = document.createElement("div");
    about.className = "about";
    about.append(this.figures.element, this.strip.element, this.legend.element);
    this.element.append(this.answer.element, about);
    VIEWS.set(this.answer.element, this);
  }

  /** Stream an answer into the view. Throws: ServerError; an abort by `signal` only ends it. */
  async show(body, key, signal) {
    try {
      for await (const chunk of chunksOf(body, key, signal)) this.#take(chunk);
    } catch (error) {
      if (!signal.aborted) throw error;
      this.record.finish = "stopped";
    } finally {
      this.#end();
    }
  }

  #take(chunk) {
    const round = this.record.take(chunk);
    if (!round) return;
    this.element.classList.remove("waiting");
    this.answer.add(round);
    if (round.index) this.strip.add(round);
    this.legend.count(round.tokens);
    this.figures.show(this.record);
    this.element.dispatchEvent(new Event("grown", { bubbles: true }));
  }

  #end() {
    this.element.classList.remove("waiting");
    this.element.classList.add("ended");
    this.answer.end();
    this.figures.show(this.record);
    this.strip.describe(summary(this.record));
  }
}

/** Tokens a second, tokens a round, tokens. */
class Figures {
  constructor() {
    this.element = document.createElement("dl");
    this.element.className = "figures";
    [this.speed, this.perRound, this.tokens] = ["tokens/s", "tokens/round", "tokens"].map((name) => {
      const [group, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      term.textContent = name;
      value.textContent = "–";
      group.append(term, value);
      this.element.append(group);
      return value;
    });
  }

  show(record) {
    this.speed.textContent = figure(record.tokensPerSecond, 1);
    this.perRound.textContent = figure(record.tokensPerRound, 2);
    this.tokens.textContent = record.numTokens ? String(record.numTokens) : "–";
  }
}

/** A number with so many places, a dash where there is none. */
export function figure(value, places) {
  return Number.isFinite(value) ? value.toFixed(places) : "–";
}

/** An ended answer in a sentence. */
export function summary(record) {
  const speed = Number.isFinite(record.tokensPerSecond) ? ` at ${figure(record.tokensPerSecond, 1)} a second` : "";
  const rounds = Number.isFinite(record.tokensPerRound) ? `, ${figure(record.tokensPerRound, 2)} a round` : "";
  return `${record.numTokens} tokens${speed}${rounds}`;
}
