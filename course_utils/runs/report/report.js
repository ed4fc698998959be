for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (a === "" || b === "") return (a === "") - (b === ""); // empty cells last, always
        const difference = Number(a) - Number(b);
        if (!Number.isNaN(difference)) return sign * difference;
        return sign * a.localeCompare(b, undefined, { numeric: true });
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}

// Each row with its headings, so that "seed 3" finds it.
const text = (item) => {
  const heads = item.closest("table")?.tHead.rows[0].cells ?? [];
  const cells = [...(item.cells ?? [])].map((cell, i) => `${heads[i]?.textContent} ${cell.textContent}`);
  const pictures = [...item.querySelectorAll("img")].map((picture) => picture.alt);
  return [...(cells.length ? cells : [item.textContent]), ...pictures].join(" ").toLowerCase();
};
const items = [...document.querySelectorAll("tbody tr, figure, details.failure")].map((item) => [item, text(item)]);
const parts = [...document.querySelectorAll(".scroll, .figures")];
const filter = document.createElement("input");
filter.type = "search";
filter.className = "filter";
filter.placeholder = "Filter by words, such as: error seed 3";
filter.setAttribute("aria-label", "Show only rows, figures and failures with these words");
const found = document.createElement("p");
found.className = "soft";
found.setAttribute("aria-live", "polite");
document.querySelector("nav").after(filter, found);
// A word is found where one begins with it, a number where it stands whole, behind its name if it has one.
const pattern = (words) => {
  const escaped = words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/\s+/, "\\s+");
  return new RegExp(`(^|[^a-z0-9.])${escaped}${/\d$/.test(words) ? "(?![0-9.])" : ""}`);
};
let waiting;
filter.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const words = filter.value.toLowerCase().match(/[a-z]\S*\s+-?\d[\d.]*(?!\S)|\S+/g) ?? [];
    const patterns = words.map(pattern);
    let shown = 0;
    for (const [item, content] of items) {
      item.hidden = !patterns.every((one) => one.test(content));
      shown += !item.hidden;
    }
    for (const part of parts) part.hidden = words.length && !part.querySelector("tbody tr:not([hidden]), figure:not([hidden])");
    found.textContent = words.length ? `${shown} of ${items.length} rows, figures and failures` : "";
  }, 150);
});
