"use strict";
const list = document.getElementById("list");
const tools = document.querySelector(".tools");
const [words, kind, order, shown] = ["words", "kind", "order", "shown"].map((id) => document.getElementById(id));
const cards = Array.from(list.querySelectorAll("article"), (card) => ({
  card,
  text: card.textContent.toLowerCase(),
  file: card.dataset.file,
  number: Number(card.dataset.number),
  warnings: Number(card.dataset.warnings),
  first: Number(card.dataset.first),
  length: Array.from(card.querySelectorAll(".findings")).reduce((sum, text) => sum + text.textContent.length, 0),
  cut: card.dataset.cut !== "0",
  forced: card.dataset.forced === "1",
}));
const kinds = {
  "": () => true,
  warned: (entry) => entry.warnings > 0,
  plain: (entry) => entry.warnings === 0,
  cut: (entry) => entry.cut,
  forced: (entry) => entry.forced,
};
const orders = {
  number: (a, b) => a.number - b.number,
  file: (a, b) => a.file.localeCompare(b.file, "en", { numeric: true }) || a.number - b.number,
  warnings: (a, b) => b.warnings - a.warnings || a.number - b.number,
  first: (a, b) => a.first - b.first || a.number - b.number,
  length: (a, b) => b.length - a.length || a.number - b.number,
};
function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const entry of cards) {
    entry.card.hidden = !(kinds[kind.value](entry) && wanted.every((word) => entry.text.includes(word)));
    count += entry.card.hidden ? 0 : 1;
  }
  shown.textContent = `${count} of ${cards.length} shown`;
}
function sort() {
  list.append(...cards.sort(orders[order.value]).map((entry) => entry.card));
}
tools.addEventListener("submit", (event) => event.preventDefault());
words.addEventListener("input", filter);
kind.addEventListener("change", filter);
order.addEventListener("change", sort);
tools.hidden = cards.length === 0;
filter();
