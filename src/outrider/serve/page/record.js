// `Record`: what is known of one answer, gathered chunk by chunk. Nothing here touches the document.

/**
 * A round: `tokens` are `{id, text, thought, by}`: what the token added to the answer and to the thoughts before it, and
 * the drafters that guessed it, none for the model's own; `drafted` is how many tokens were guessed for it, null where the server does not say. The first round of an
 * answer is the prompt's pass: it gives a token that nobody could guess, and counts for no figure.
 */
export class Record {
  constructor(now = () => performance.now()) {
    this.now = now;
    this.rounds = [];
    this.ids = [];
    this.content = ""; // what goes back to the server as the assistant's message
    this.finish = null; // "stop", "length"; null while it comes, and where it was stopped
    this.beginMs = now();
    this.firstMs = this.lastMs = 0;
    this.numTokens = 0;
  }

  /** Take a chunk; returns the round it told of, or null. */
  take(chunk) {
    const choice = chunk.choices?.[0];
    if (!choice) return null;
    this.finish = choice.finish_reason ?? this.finish;
    this.content += choice.delta?.content ?? "";
    const tokens = tokensOf(choice);
    if (!tokens.length) return null;
    this.lastMs = this.now();
    this.firstMs ||= this.lastMs;
    const round = { index: this.rounds.length, tokens, drafted: choice.outrider?.drafted ?? null };
    this.rounds.push(round);
    this.numTokens += tokens.length;
    for (const token of tokens) if (token.id !== null) this.ids.push(token.id);
    return round;
  }

  /** Tokens that rounds gave: all but those of the prompt's pass. */
  get emitted() {
    return this.rounds.length ? this.numTokens - this.rounds[0].tokens.length : 0;
  }

  /** NaN before there is anything to measure. */
  get tokensPerSecond() {
    return this.lastMs > this.firstMs ? this.emitted / (this.lastMs - this.firstMs) * 1000 : NaN;
  }

  /** NaN before the first round. */
  get tokensPerRound() {
    return this.rounds.length > 1 ? this.emitted / (this.rounds.length - 1) : NaN;
  }

  /** How many of the first ids two answers share. */
  sharedWith(other) {
    const shorter = Math.min(this.ids.length, other.ids.length);
    let count = 0;
    while (count < shorter && this.ids[count] === other.ids[count]) count += 1;
    return count;
  }
}

/** A chunk of a server that does not tell tokens is one piece of text, nobody's. */
function tokensOf(choice) {
  const told = choice.outrider;
  if (!told) return choice.delta?.content ? [{ id: null, text: choice.delta.content, thought: "", by: [] }] : [];
  return told.token_ids.map((id, at) => ({
    id, text: told.texts[at], thought: told.reasoning_texts?.[at] ?? "", by: told.drafted_by[at]?.split("+") ?? [],
  }));
}
