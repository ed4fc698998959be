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

const items = [...document.querySelectorAll("tbody tr, figure, details.failure")].map((item) => {
  const pictures = [...item.querySelectorAll("img")].map((picture) => picture.alt);
  return [item, [item.textContent, ...pictures].join(" ").toLowerCase()];
});
const filter = document.createElement("input");
filter.type = "search";
filter.className = "filter";
filter.placeholder = "Show only what has these words, such as: error seed 3";
filter.setAttribute("aria-label", "Filter rows, figures and failures by words");
document.querySelector("nav").after(filter);
let waiting;
filter.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const words = filter.value.toLowerCase().split(/\s+/);
    for (const [item, text] of items) item.hidden = !words.every((word) => text.includes(word));
  }, 150);
});
