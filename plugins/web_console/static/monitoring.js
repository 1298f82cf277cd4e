// What the monitoring's pages do besides links and forms, in the manner of app.js.
"use strict";

// ---- details that are open stay so when a live part is replaced ----
let open = [];
document.addEventListener("htmx:before:swap", () => {
  open = [...document.querySelectorAll("details[open][id]")].map((one) => one.id);
});
document.addEventListener("htmx:after:swap", () => {
  for (const id of open) {
    const one = document.getElementById(id);
    if (one) one.open = true;
  }
});

// ---- one box for all: data-all="name" on it ----
document.addEventListener("change", (event) => {
  const name = event.target.dataset?.all;
  if (name) {
    for (const box of event.target.closest("form, .selecting").querySelectorAll(`input[name="${name}"]`)) box.checked = event.target.checked;
  }
  countChosen();
});
function countChosen() {
  for (const button of document.querySelectorAll("[data-counts]")) {
    const count = document.querySelectorAll(`input[name="${button.dataset.counts}"]:checked`).length;
    button.disabled = count === 0;
    if (button.dataset.question) button.dataset.confirm = button.dataset.question.replace("#", String(count));
  }
}
countChosen();
