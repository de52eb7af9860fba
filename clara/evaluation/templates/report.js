// The page can be read without this: it adds sorting to tables and filters to the list of questions.
for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.querySelectorAll("th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        const difference = parseFloat(x) - parseFloat(y);
        return Number.isNaN(difference) ? x.localeCompare(y) : difference;
      };
      const rows = [...table.tBodies[0].rows].sort((a, b) => (descending ? order(b, a) : order(a, b)));
      table.tBodies[0].append(...rows);
    });
  });
}
const filters = document.getElementById("filters");
if (filters) {
  filters.hidden = false;
  const [place, outcome, words] = ["place", "outcome", "words"].map(name => filters.elements[name]);
  const status = document.getElementById("matches");
  const apply = () => {
    let shown = 0;
    for (const section of document.querySelectorAll(".place")) {
      let here = 0;
      for (const item of section.querySelectorAll(".question")) {
        const right = item.dataset.right.split(" ");
        const fits = (!place.value || place.value === section.id)
          && (!outcome.value
            || (outcome.value.startsWith("not ") ? !right.includes(outcome.value.slice(4)) : right.includes(outcome.value)))
          && (!words.value || item.textContent.toLowerCase().includes(words.value.toLowerCase()));
        item.hidden = !fits;
        here += fits;
      }
      section.hidden = !here;
      if (here && (place.value || outcome.value || words.value)) section.open = true;
      shown += here;
    }
    status.textContent = `${shown} questions`;
  };
  filters.addEventListener("input", apply);
  filters.addEventListener("submit", event => event.preventDefault());
}
