// Small pieces of the document that both views use.

/** What the user said. */
export function bubble(text) {
  const element = document.createElement("p");
  element.className = "bubble";
  element.textContent = text;
  return element;
}

export function button(text, title) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.title = title;
  return element;
}

/** A remark in a row of them. */
export function note(text) {
  const element = document.createElement("span");
  element.textContent = text;
  return element;
}

/** A button that copies what `text` gives, and says so for a while. */
export function copy(text) {
  const element = button("Copy", "Copy the answer");
  element.className = "copy";
  element.addEventListener("click", async () => {
    element.textContent = (await copied(text())) ? "Copied" : "Copying is not allowed";
    setTimeout(() => { element.textContent = "Copy"; }, 1500);
  });
  return element;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text); // not there on pages that came over plain HTTP from elsewhere
    return true;
  } catch {
    return false;
  }
}

/** A name that nobody else has, for memories that nobody else shares. */
export function salt() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("");
}
