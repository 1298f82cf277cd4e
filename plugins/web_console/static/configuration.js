// Forms of the configuration: what is shown when something else is chosen, and rows of several kinds.
"use strict";

// ---- a box shows the fields that it is for; fields that are hidden are not sent ----
function setShown(part, shown) {
  part.hidden = !shown;
  for (const one of part.querySelectorAll("input, select, textarea")) {
    if (!shown && !one.disabled) {
      one.disabled = true;
      one.dataset.off = "";
    } else if (shown && "off" in one.dataset && !one.closest("[hidden]")) {
      one.disabled = false;
      delete one.dataset.off;
    }
  }
}

function showParts(root) {
  for (const box of root.querySelectorAll("[data-shows]")) {
    const part = document.getElementById(box.dataset.shows);
    if (part) setShown(part, box.checked);
  }
  for (const choice of root.querySelectorAll("[data-kinds]")) {
    const whole = choice.closest("fieldset") || choice.form;
    for (const part of whole.querySelectorAll("[data-kind-of]")) {
      if (part.dataset.kindOf === choice.dataset.kinds) setShown(part, !choice.closest("[hidden]") && part.dataset.kind === choice.value);
    }
  }
}

// ---- de-identification and tag morphing exclude each other; both need a project ----
function excludes(box) {
  const other = document.getElementById(box.dataset.excludes);
  if (box.checked && other?.checked) {
    other.checked = false;
    announce("The other one is off: only one of the two can be used.");
  }
}

function announce(text) {
  document.getElementById("announcements").textContent = text;
}

document.addEventListener("change", (event) => {
  const one = event.target;
  if (one.dataset.excludes) excludes(one);
  if ("needsProject" in one.dataset && one.checked) {
    one.checked = false;
    document.getElementById("no-project").showModal();
  }
  if (one.id === "transfer_syntax") followSyntax(one, true);
  if (one.matches("[data-secret] select")) {
    const field = one.closest("[data-secret]").querySelector("input");
    field.value = "";
    field.type = one.value ? "text" : "password";
  }
  if (one.matches("[data-shows], [data-kinds], [data-excludes]")) showParts(document);
});

// ---- what is compressed is left alone only where something is compressed at all ----
function followSyntax(select, changed) {
  const box = document.getElementById("transcode_only_uncompressed");
  if (!box) return;
  const native = select.selectedOptions[0]?.dataset.native !== undefined || select.dataset.native.split(" ").includes(select.value);
  box.disabled = native;
  if (native) box.checked = false;
  else if (changed) box.checked = true;
}

// ---- rows, each of a kind ----
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-row-new], [data-row-gone], [data-lines-add], [data-fill]");
  if (!button) return;
  if ("rowNew" in button.dataset) addEntry(button);
  if ("rowGone" in button.dataset) removeEntry(button);
  if ("linesAdd" in button.dataset) addLine(button);
});

function addEntry(button) {
  const rows = button.closest("[data-rows]");
  const template = rows.querySelector(`:scope > template[data-row-template="${button.dataset.rowNew}"]`);
  const index = rows.dataset.next;
  rows.dataset.next = String(Number(index) + 1);
  const holder = document.createElement("template");
  holder.innerHTML = template.innerHTML.replaceAll("__index__", index);
  const row = holder.content.firstElementChild;
  rows.querySelector(":scope > [data-rows-list]").append(row);
  showParts(row);
  row.querySelector("input:not([type=hidden]), select, textarea")?.focus();
}

function removeEntry(button) {
  const rows = button.closest("[data-rows]");
  button.closest("[data-row]").remove();
  rows.querySelector("[data-row-new]")?.focus();
  announce("Removed; save to keep it so");
}

// ---- a list of names with a search ----
function addLine(button) {
  const whole = button.closest("[data-lines]");
  const [area, search] = [whole.querySelector("textarea"), whole.querySelector("input")];
  const name = search.value.trim();
  if (!name) return;
  const lines = area.value.split("\n").filter((line) => line.trim());
  if (!lines.includes(name)) area.value = [...lines, name].join("\n");
  search.value = "";
  search.focus();
  announce(`${name} is in the list`);
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("[data-lines-search] input")) {
    event.preventDefault();
    addLine(event.target.parentElement.querySelector("[data-lines-add]"));
  }
});

// ---- files that are dropped ----
for (const zone of document.querySelectorAll("[data-drop]")) {
  const input = zone.querySelector("input[type=file]");
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    input.files = event.dataTransfer.files;
    announce(`${event.dataTransfer.files[0]?.name ?? "Nothing"} is chosen`);
  });
}

// ---- the popup that makes the header Authorization ----
document.addEventListener("htmx:after:swap", () => {
  const made = document.querySelector("[data-headers-made]");
  const area = document.getElementById("headers");
  if (!made || !area) return;
  area.value = made.value;
  made.remove();
  document.getElementById("authorization").close();
  area.focus();
  announce("The header is added; save to keep it");
});

for (const search of document.querySelectorAll("[data-lines-search]")) search.hidden = false;
showParts(document);
const syntax = document.getElementById("transfer_syntax");
if (syntax) followSyntax(syntax, false);
