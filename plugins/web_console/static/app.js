// What pages do besides links and forms. No script stands in a page: elements say by data- attributes what they want.
"use strict";

// ---- light and dark ----
const systemDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme || (systemDark.matches ? "dark" : "light")) === "dark";
const themeSwitch = document.querySelector("[data-theme-switch]");
function showTheme() {
  themeSwitch?.setAttribute("aria-pressed", String(isDark()));
}
themeSwitch?.addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  showTheme();
});
systemDark.addEventListener("change", showTheme);
showTheme();

// ---- the navigation on small screens ----
const menu = document.querySelector("[data-menu]");
function showMenu(open) {
  document.body.classList.toggle("menu-open", open);
  menu.setAttribute("aria-expanded", String(open));
}
menu?.addEventListener("click", () => showMenu(!document.body.classList.contains("menu-open")));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !document.body.classList.contains("menu-open")) return;
  showMenu(false);
  menu.focus();
});

// ---- times in the browser's zone ----
const time = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
function showTimes(root) {
  for (const one of root.querySelectorAll("time[datetime]:not([title])")) {
    one.title = one.textContent;
    one.textContent = time.format(new Date(one.dateTime));
  }
}

// ---- tables that are wider than a small screen: each row is a card, and each cell says what it is ----
const smallScreen = matchMedia("(max-width: 64rem)");
function fitTables() {
  for (const table of document.querySelectorAll(".table:not(.preview, .diff) > table:not(.grid)")) {
    const around = table.parentElement;
    const heads = table.tHead?.rows[0]?.cells;
    if (!heads || table.querySelector("[colspan]")) continue;
    around.classList.remove("cards");
    if (!smallScreen.matches || around.scrollWidth <= around.clientWidth) continue;
    const labels = [...heads].map((one) => (one.querySelector(".hidden-text, input") ? "" : one.textContent.trim()));
    for (const cell of table.querySelectorAll("tbody > tr > *")) cell.dataset.label = labels[cell.cellIndex] ?? "";
    around.classList.add("cards");
  }
}
addEventListener("resize", fitTables);
document.addEventListener("toggle", fitTables, true);

// ---- what would fill a small screen is folded there ----
if (matchMedia("(max-width: 78rem)").matches) for (const one of document.querySelectorAll("[data-folds]")) one.open = false;

// ---- what was wrong, or is shown once, comes first ----
function takeFocus(root) {
  root.querySelector("[data-focus]")?.focus();
}

function say(text) {
  document.getElementById("announcements").textContent = text;
}

// what the page before has done: what is there from the beginning no reader says by itself
const done = [...document.querySelectorAll("main > .flash")].map((one) => one.textContent.trim()).join(" ");
if (done) setTimeout(() => say(done), 300);

// ---- from a problem in the list to its field, which may be folded away ----
document.addEventListener("click", (event) => {
  const link = event.target.closest(".flash a[href^='#']");
  const field = link && document.getElementById(decodeURIComponent(link.hash.slice(1)));
  if (!field) return;
  event.preventDefault();
  for (let part = field.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  const box = field.matches("input, select, textarea, button") ? field : field.querySelector("input, select, textarea") ?? field;
  box.scrollIntoView({ block: "center" });
  box.focus({ preventScroll: true });
});

// ---- dialogs: data-open="#id" opens one, data-close closes it ----
const dialog = document.getElementById("confirm");
let waiting = null;
let submitter = null;
document.addEventListener("submit", (event) => {
  const form = event.target;
  // a form with several buttons asks by the button
  const asks = event.submitter?.dataset.confirm ? event.submitter : form;
  const question = asks.dataset.confirm;
  if (!question || form.dataset.confirmedOnce) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  waiting = form;
  submitter = event.submitter;
  dialog.querySelector("h2").textContent = question;
  dialog.querySelector("p").textContent = asks.dataset.confirmDetail || "";
  const button = dialog.querySelector("[data-confirmed]");
  button.textContent = asks.dataset.confirmButton || "Yes";
  dialog.showModal();
}, true);
dialog?.querySelector("[data-confirmed]").addEventListener("click", () => {
  const form = waiting;
  dialog.close();
  form.dataset.confirmedOnce = "true";
  form.requestSubmit(submitter);
});

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-open], [data-close], [data-copy], [data-row-add], [data-row-remove]");
  if (!target) return;
  if (target.dataset.open) document.querySelector(target.dataset.open).showModal();
  if ("close" in target.dataset) target.closest("dialog").close();
  if (target.dataset.copy) copy(target);
  if ("rowAdd" in target.dataset) addRow(target.closest("[data-rows]"));
  if ("rowRemove" in target.dataset) removeRow(target.closest("[data-row]"));
});

async function copy(button) {
  const source = document.querySelector(button.dataset.copy);
  const text = source.value ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
    button.textContent = "Copied";
  } catch {
    // not allowed here, such as without HTTPS: selected, it can be copied by hand
    getSelection().selectAllChildren(source);
    say("Selected; copy it by the keyboard");
  }
}

// ---- rows of a form that can be added and removed ----
function addRow(rows) {
  const template = rows.querySelector(":scope > template");
  const index = rows.dataset.next;
  rows.dataset.next = String(Number(index) + 1);
  const holder = document.createElement("template");
  holder.innerHTML = template.innerHTML.replaceAll("__index__", index);
  const row = holder.content.firstElementChild;
  rows.querySelector(":scope > [data-rows-list]").append(row);
  htmx.process(row);
  row.querySelector("input, select, textarea")?.focus();
  rows.dispatchEvent(new Event("input", { bubbles: true }));
}

function removeRow(row) {
  const rows = row.closest("[data-rows]");
  const next = row.nextElementSibling || row.previousElementSibling;
  row.remove();
  (next?.querySelector("input, select, textarea") || rows.querySelector(":scope > [data-row-add]")).focus();
  rows.dispatchEvent(new Event("input", { bubbles: true }));
}

// ---- live parts ----
// one whose session is over gets the sign-in; nobody looks at a hidden tab, nor is a part changed that is worked in
document.addEventListener("htmx:config:request", (event) => {
  const { ctx } = event.detail;
  const polls = /\bevery\b/.test(ctx.sourceElement?.getAttribute("hx-trigger") || "");
  if (polls && (document.hidden || isWorkedIn(ctx.sourceElement))) event.preventDefault();
});
function isWorkedIn(part) {
  const active = document.activeElement;
  // what is morphed keeps its elements, and the focus with them; what is typed it would not
  const morphs = /Morph/.test(part.getAttribute("hx-swap") || "");
  return part.contains(active) && (!morphs || active.matches("input, select, textarea"));
}
document.addEventListener("htmx:after:request", (event) => {
  if (event.detail.ctx?.response?.raw?.status === 401) location.reload();
});
let announced = "";
document.addEventListener("htmx:after:swap", (event) => {
  showTimes(document);
  fitTables();
  // what is wrong with a form that was sent; a part that follows by itself never takes the focus
  const sent = event.detail.ctx?.sourceElement;
  if (sent?.matches?.("form[method='post']")) takeFocus(document);
  // what a filter has left, said once, not at every look
  const text = document.querySelector("[data-announce]")?.dataset.announce ?? "";
  if (text && text !== announced) say(text);
  announced = text;
});

// ---- filters stand in the address of the page: it can be loaded again, kept and sent ----
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (!form || !("kept" in form.dataset)) return;
  const fields = [...new FormData(form)].filter(([, value]) => value !== "");
  history.replaceState(null, "", `${form.getAttribute("action")}?${new URLSearchParams(fields)}`);
});

showTimes(document);
fitTables();
takeFocus(document);
