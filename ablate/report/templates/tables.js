// Tables: sort by a column's header, filter rows, copy as LaTeX, CSV or Markdown.
// Names from a study only ever reach the page as text, never as markup.
"use strict";

const carried = JSON.parse(document.getElementById("carried").textContent);

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Not a secure context: select it and let the browser copy.
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function copyButton(label, text, status) {
  const button = make("button", { type: "button", textContent: label });
  button.addEventListener("click", async () => {
    await copy(text());
    status.textContent = "copied";
    setTimeout(() => { status.textContent = ""; }, 2500);
  });
  return button;
}

// What a cell sorts by: its leading number, else its text.
function sortKey(cell) {
  const text = (cell.firstChild?.textContent ?? "").trim();
  const number = parseFloat(text.replace("−", "-").replace(/^[<+±\s]+/, ""));
  return { number, text };
}

function compare(a, b) {
  const known = Number.isFinite(a.number) - Number.isFinite(b.number);
  if (known) return -known;
  if (Number.isFinite(a.number) && a.number !== b.number) return a.number - b.number;
  return a.text.localeCompare(b.text, undefined, { numeric: true });
}

function sortable(table) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const body = table.tBodies[0];
  const original = [...body.rows];
  heads.forEach((head, index) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      // Numbers: the largest first, names: from a on; a third press restores the table's own order.
      const keys = new Map(original.map((row) => [row, sortKey(row.cells[index])]));
      const numeric = [...keys.values()].some((key) => Number.isFinite(key.number)) && index > 0;
      const order = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
      const now = before === null ? order[0] : before === order[0] ? order[1] : null;
      const rows = [...original];
      if (now) {
        head.setAttribute("aria-sort", now);
        const known = rows.filter((row) => !numeric || Number.isFinite(keys.get(row).number));
        const rest = rows.filter((row) => !known.includes(row));
        known.sort((x, y) => (now === "ascending" ? 1 : -1) * compare(keys.get(x), keys.get(y)));
        body.replaceChildren(...known, ...rest);
      } else {
        body.replaceChildren(...rows);
      }
    });
  });
}

function filterable(table, tools, status) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 4) return;
  const input = make("input", { type: "search", placeholder: "part of a row" });
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    status.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
  tools.prepend(make("label", {}, "filter ", input));
}

for (const figure of document.querySelectorAll("[data-table]")) {
  const table = figure.querySelector("table");
  const tools = figure.querySelector(".tools");
  const status = make("span", { role: "status" });
  const files = carried.tables[figure.dataset.table] ?? {};
  for (const [label, text] of Object.entries(files)) tools.append(copyButton(`copy ${label}`, () => text, status));
  tools.append(status);
  sortable(table);
  filterable(table, tools, status);
}

for (const block of document.querySelectorAll("[data-copies]")) {
  const status = make("span", { role: "status" });
  const text = () => document.getElementById(block.dataset.copies).textContent;
  block.append(copyButton("copy", text, status), status);
}
