// The same prompt and seed twice, one after the other: with speculation and without.

import { bubble, copy, salt } from "./parts.js";
import { figure, RunView } from "./run.js";

export class Compare {
  constructor(section, page) {
    this.section = section;
    this.page = page;
  }

  get isEmpty() {
    return this.section.childElementCount === 0;
  }

  clear() {
    this.section.replaceChildren();
  }

  /** Throws: ServerError; panes of which nothing came are taken back. */
  async send(prompt, signal) {
    const { settings } = this.page;
    const body = { ...settings.asked(), messages: settings.messages([{ role: "user", content: prompt }]),
                   seed: settings.seed() };
    const panes = [new Pane("With speculation", this.page), new Pane("Without speculation", this.page)];
    const [verdict, row] = ["p", "div"].map((tag) => document.createElement(tag));
    verdict.className = "verdict";
    verdict.setAttribute("role", "status");
    row.className = "panes";
    row.append(...panes.map((pane) => pane.element));
    this.section.replaceChildren(bubble(prompt), verdict, row);
    try {
      await this.#runBoth(panes, body, verdict, signal);
    } catch (error) {
      if (!panes[0].record.numTokens) {
        this.clear();
        this.page.giveBack(prompt);
      }
      throw error;
    }
  }

  async #runBoth(panes, body, verdict, signal) {
    for (const [at, pane] of panes.entries()) {
      verdict.textContent = at ? "Now without speculation…" : "With speculation first…";
      // A memory of its own for each run: neither can look up what the other has said.
      await pane.run({ ...body, speculation: { enabled: at === 0 }, cache_salt: salt() }, signal);
      if (signal.aborted && at === 0) break;
    }
    verdict.replaceChildren(...judged(...panes.map((pane) => pane.record), body.seed));
  }
}

class Pane {
  constructor(name, page) {
    this.page = page;
    this.view = new RunView(page.palette);
    this.element = document.createElement("article");
    this.element.className = "pane";
    const [head, title] = ["header", "h2"].map((tag) => document.createElement(tag));
    title.textContent = name;
    head.append(title, copy(() => this.record.content));
    this.element.append(head, this.view.element);
    this.element.setAttribute("aria-label", name);
  }

  get record() {
    return this.view.record;
  }

  async run(body, signal) {
    this.element.classList.add("running");
    try {
      await this.view.show(body, this.page.key, signal);
    } finally {
      this.element.classList.remove("running");
    }
  }
}

function judged(fast, plain, seed) {
  if (!plain.ids.length) return ["Stopped before there was anything to compare."];
  const shared = fast.sharedWith(plain);
  const cut = fast.finish === "stopped" || plain.finish === "stopped";
  const whole = cut ? Math.min(fast.ids.length, plain.ids.length) : Math.max(fast.ids.length, plain.ids.length);
  const answer = document.createElement("strong");
  answer.textContent = shared === whole ? "yes" : "no";
  answer.className = shared === whole ? "same" : "differs";
  const count = shared === whole ? `all ${whole}${cut ? " until it was stopped" : ""}` : `they part at token ${shared + 1}`;
  const factor = fast.tokensPerSecond / plain.tokensPerSecond;
  const speed = Number.isFinite(factor) ? ` ${figure(factor, 2)} times as fast with speculation.` : "";
  return ["Same tokens: ", answer, `, ${count}.${speed} Seed ${seed}.`];
}
