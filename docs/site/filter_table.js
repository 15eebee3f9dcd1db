// A field above each long table that hides rows without all of the typed words.
for (const table of document.querySelectorAll("main table.markdownTable")) {
  const rows = [...table.rows].slice(1);
  if (rows.length < 30) continue;
  // Long names may break after a slash or an underscore.
  for (const code of table.querySelectorAll("td code")) code.innerHTML = code.textContent.replace(/[/_]/g, "$&<wbr>");
  const field = document.createElement("input");
  const count = document.createElement("span");
  field.type = "search";
  field.placeholder = "Type a model, a family, a pairing …";
  field.setAttribute("aria-label", "Show rows with these words");
  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) ++shown;
    }
    count.textContent = ` ${shown} of ${rows.length}`;
  };
  field.addEventListener("input", show);
  const line = document.createElement("p");
  line.className = "filter";
  line.append(field, count);
  table.before(line);
  const wanted = new URLSearchParams(location.search).get("q");
  if (wanted) field.value = wanted;
  show();
}
