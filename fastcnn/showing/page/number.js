"use strict";
// One number: which, what made it, what came back to it.

function fillLayers() {
  const select = at("layer"), chosen = select.value;
  select.replaceChildren(...state.run.layers.map((layer) => new Option(label(layer.label), layer.path)));
  if (chosen) select.value = chosen;
  const meant = at("meant"), before = meant.value;
  meant.replaceChildren(new Option(word("its"), ""), ...state.run.classes.map((name, k) => new Option(name, k)));
  meant.value = before;
  fillPlaces();
}

function fillPlaces(values = []) {
  const layer = state.run.layers.find((each) => each.path === at("layer").value);
  const names = layer.shape.length === 3 ? ["channel", "row", "column"] : layer.shape.map(() => "unit");
  at("places").replaceChildren(...names.map((name, k) => {
    const line = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: "number", min: 0, max: layer.shape[k] - 1, value: values[k] || 0 });
    line.append(cell("span", word(name)), input);
    return line;
  }));
}

// The number that is explained again, of another image or moment, once that has come to rest.
function explainSoon() {
  clearTimeout(state.soon);
  state.soon = setTimeout(() => {
    if (state.busy) explainSoon();
    else if (state.number && state.asked) explain(state.number.path, state.number.at);
  }, 150);
}

async function explain(path, place) {
  at("layer").value = path;
  fillPlaces(place);
  if (!state.asked) { at("explained").textContent = word("nothing"); return; }
  const best = state.answer.probabilities.indexOf(Math.max(...state.answer.probabilities));
  const meant = at("meant").value;
  const right = meant !== "" ? Number(meant) : state.answer.label === undefined ? best : state.answer.label;
  try {
    state.number = await ask("/number", { ...state.asked, layer: path, at: place, label: right });
    showNumber();
  } catch (error) {
    at("explained").textContent = error.message;
  }
}

function showNumber() {
  const n = state.number, where = n.at.join(", ");
  const told = [label(n.label), where, digits(n.value), n.count];
  const lines = [cell("p", n.is_sum
    ? n.constant ? word("sum", ...told, digits(n.constant)) : word("sumOnly", ...told)
    : word("curve", ...told), "value")];
  if (n.is_sum) lines.push(cell("p", word("doubled", digits(n.total)), "soft"));
  if (n.formula) { const p = document.createElement("p"); p.append(cell("code", n.formula)); lines.push(p); }
  if (n.gradient !== null) {
    lines.push(cell("p", n.gradient === 0 ? word("backNothing") : word("back", digits(n.gradient))));
    if (n.gradient && n.has_weights && n.rate) lines.push(cell("p", word("stepped", n.rate), "soft"));
  }
  if (n.terms.length) lines.push(table(n));
  if (n.terms.length < n.count) lines.push(cell("p", word("more", n.terms.length, n.count), "soft"));
  lines.push(cell("p", word("code"), "soft"));
  const list = document.createElement("ul");
  for (const source of n.sources) { const item = document.createElement("li"); item.append(cell("code", source)); list.append(item); }
  at("explained").replaceChildren(...lines, list);
  at("save-number").disabled = false;
  at("number-saved").textContent = "";
}

function table(n) {
  const made = document.createElement("table"), body = document.createElement("tbody");
  const isMap = n.terms[0].at.length === 3, pulled = n.has_weights && n.gradient;
  const heads = isMap ? ["channel", "row", "column"] : ["unit"];
  heads.push("input", n.has_weights ? "weight" : "slope");
  if (n.is_sum) heads.push("product");
  if (pulled) heads.push("pull", ...(n.rate ? ["step"] : []));
  const row = document.createElement("tr");
  for (const name of heads) { const th = cell("th", word(name), "right"); th.scope = "col"; row.append(th); }
  const head = document.createElement("thead");
  head.append(row);
  for (const term of n.terms) {
    const line = document.createElement("tr");
    const values = [...term.at, digits(term.input), digits(term.slope)];
    if (n.is_sum) values.push(digits(term.product));
    if (pulled) values.push(short(n.gradient * term.input), ...(n.rate ? [short(-n.rate * n.gradient * term.input)] : []));
    for (const value of values) line.append(cell("td", value, "right"));
    body.append(line);
  }
  made.append(head, body);
  const wide = document.createElement("div"); // on a phone it is moved sideways, with keys too
  wide.className = "wide";
  wide.tabIndex = 0;
  wide.setAttribute("role", "region");
  wide.setAttribute("aria-label", word("terms"));
  wide.append(made);
  return wide;
}
