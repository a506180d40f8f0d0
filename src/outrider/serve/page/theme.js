// Runs before anything is painted, so that no page flashes in the wrong colours.
"use strict";
{
  const THEMES = { auto: "as the system has them", light: "light", dark: "dark" };

  function stored() {
    try {
      return localStorage.getItem("outrider.theme");
    } catch {
      return null; // storage is forbidden: the choice lasts as long as the page
    }
  }

  function wear(theme) {
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) {
      button.setAttribute("aria-label", `Colours: ${THEMES[theme]}`);
      button.title = `Colours: ${THEMES[theme]}`;
    }
  }

  function turn() {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    wear(next);
    try {
      localStorage.setItem("outrider.theme", next);
    } catch {
      return;
    }
  }

  const before = stored();
  wear(before in THEMES ? before : "auto");
  document.addEventListener("DOMContentLoaded", () => {
    wear(document.documentElement.dataset.theme);
    document.getElementById("theme").addEventListener("click", turn);
  });
}
