"use strict";
// Asks the program behind the page, and draws what it answers. Nothing leaves this machine.

const SIDE = 140, STEPS = 28, CELL = SIDE / STEPS;
const at = (id) => document.getElementById(id);
const state = { run: null, asked: null, answer: null, number: null, busy: false, waiting: false };
let language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";

// --- words ---------------------------------------------------------------------------------------

function word(name, ...values) {
  return WORDS[language][name].replace(/\{(\d)\}/g, (_, k) => values[k]);
}

function label(text) {
  const kinds = WORDS[language].kinds || {};
  const [kind, count] = text.split(" ");
  return kind in kinds ? `${kinds[kind]} ${count}` : text;
}

const digits = (value) => (value === 0 ? "0" : Number(value.toPrecision(9)).toString());
const short = (value) => (value === 0 ? "0" : Number(value.toPrecision(3)).toString());
const percent = (value) => `${(100 * value).toFixed(1)} %`;

function speak() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word);
  for (const each of document.querySelectorAll("[data-label]")) each.setAttribute("aria-label", word(each.dataset.label));
  at("language").textContent = word("other");
  at("language").lang = language === "zh" ? "en" : "zh";
  if (!state.run) return;
  fillLayers();
  if (state.answer) showAnswer(); else at("verdict").textContent = word("nothing");
  if (state.number) showNumber();
  if (state.moments) { showTraining(); showFilters(); }
}

// A sentence of the program behind the page.
const said = (told) => (language === "zh" ? told.zh : told.error);

// --- asking --------------------------------------------------------------------------------------

async function ask(path, question) {
  const init = question && {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(question),
  };
  let response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new Error(word("lost"));
  }
  const told = await response.json();
  if (!response.ok || told.error) throw new Error(said(told));
  return told;
}

// At most one question is on its way; of those that come meanwhile the last is asked.
async function refresh() {
  if (state.busy) { state.waiting = true; return; }
  state.busy = true;
  try {
    do {
      state.waiting = false;
      state.asked = question();
      if (state.live && state.live.failed && !("moment" in (state.asked || {}))) {
        at("verdict").textContent = failure(state.live.failed);
      } else if (state.asked) {
        state.answer = await ask("/answer", state.asked);
        showAnswer();
      } else {
        forget();
      }
    } while (state.waiting);
  } catch (error) {
    at("verdict").textContent = error.message;
  } finally {
    state.busy = false;
  }
}

function question() {
  const when = chosenMoment();
  if (state.image !== undefined) return { image: state.image, ...when };
  if (!ink.some((value) => value)) return null;
  return { drawing: base64(ink), side: SIDE, centred: at("centred").checked && state.run.centred, ...when };
}

function forget() {
  state.answer = state.number = null;
  at("save-maps").disabled = at("save-number").disabled = true;
  at("verdict").textContent = word("nothing");
  for (const id of ["nearest", "layers", "explained"]) at(id).replaceChildren();
  at("chances").tBodies[0].replaceChildren();
  paint(at("seen"), new Uint8Array(1), 1, 1, 1);
}

// --- pixels --------------------------------------------------------------------------------------

function base64(values) {
  let text = "";
  for (let k = 0; k < values.length; k += 4096) text += String.fromCharCode(...values.subarray(k, k + 4096));
  return btoa(text);
}

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

function paint(canvas, values, channels, height, width) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
  for (let k = 0; k < width * height; k++) {
    for (let c = 0; c < 3; c++) picture.data[4 * k + c] = values[(channels === 3 ? c : 0) * width * height + k];
    picture.data[4 * k + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

// --- the drawing pad -----------------------------------------------------------------------------

const ink = new Uint8Array(SIDE * SIDE);
const pen = { x: 14, y: 14, last: null, shown: false };

function dot(x, y) {
  const radius = 1.15 * CELL, soft = 2;
  for (let i = Math.max(0, Math.floor(y - radius - soft)); i < Math.min(SIDE, y + radius + soft); i++) {
    for (let k = Math.max(0, Math.floor(x - radius - soft)); k < Math.min(SIDE, x + radius + soft); k++) {
      const beyond = Math.hypot(k + 0.5 - x, i + 0.5 - y) - radius;
      const value = Math.round(255 * Math.min(1, Math.max(0, 1 - beyond / soft)));
      if (value > ink[i * SIDE + k]) ink[i * SIDE + k] = value;
    }
  }
}

function stroke(x, y) {
  const [fromX, fromY] = pen.last || [x, y];
  const count = Math.max(1, Math.ceil(Math.hypot(x - fromX, y - fromY) / 2));
  for (let k = 0; k <= count; k++) dot(fromX + ((x - fromX) * k) / count, fromY + ((y - fromY) * k) / count);
  pen.last = [x, y];
  state.image = undefined;
  redraw();
  refresh();
  explainSoon();
}

function redraw() {
  paint(at("pad"), ink, 1, SIDE, SIDE);
  if (!pen.shown) return;
  const context = at("pad").getContext("2d");
  context.strokeStyle = "#ffb000";
  context.lineWidth = 1.5;
  context.strokeRect(pen.x * CELL, pen.y * CELL, CELL, CELL);
}

function clearPad() {
  ink.fill(0);
  pen.last = null;
  state.image = undefined;
  redraw();
  refresh();
}

function prepare() {
  const pad = at("pad");
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
  };
  pad.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    pad.focus({ preventScroll: true });
    pad.setPointerCapture(event.pointerId);
    pen.shown = false;
    pen.last = null;
    stroke(...place(event));
  });
  pad.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    for (const each of event.getCoalescedEvents ? event.getCoalescedEvents() : [event]) stroke(...place(each));
  });
  pad.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in moves) {
      const [x, y] = moves[event.key];
      pen.x = Math.min(STEPS - 1, Math.max(0, pen.x + x));
      pen.y = Math.min(STEPS - 1, Math.max(0, pen.y + y));
      pen.shown = true;
      redraw();
    } else if (event.key === " ") {
      pen.shown = true;
      pen.last = null;
      stroke((pen.x + 0.5) * CELL, (pen.y + 0.5) * CELL);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      clearPad();
    } else {
      return;
    }
    event.preventDefault();
  });
  at("clear").addEventListener("click", clearPad);
  at("centred").addEventListener("change", () => { refresh(); explainSoon(); });
}

// --- test images ---------------------------------------------------------------------------------

function choose(index) {
  const last = state.run.tests - 1;
  state.image = Math.min(last, Math.max(0, Math.trunc(Number(index)) || 0));
  at("image").value = state.image;
  ink.fill(0);
  redraw();
  refresh();
  explainSoon();
}

// --- answers -------------------------------------------------------------------------------------

function showAnswer() {
  const { run, answer } = state, { classes } = run;
  const best = answer.probabilities.indexOf(Math.max(...answer.probabilities));
  const said = [classes[best], percent(answer.probabilities[best])];
  const told = answer.label === undefined ? word("verdict", ...said)
    : answer.label === best ? word("right", ...said) : word("wrong", ...said, classes[answer.label]);
  if (at("verdict").textContent !== told) at("verdict").textContent = told;
  paint(at("seen"), bytes(answer.seen), run.channels, run.height, run.width);
  const order = classes.map((_, k) => k);
  if (classes.length > 12) order.sort((a, b) => answer.probabilities[b] - answer.probabilities[a]);
  at("chances").tBodies[0].replaceChildren(...order.slice(0, 12).map((k) => {
    const row = document.createElement("tr"), head = cell("th", classes[k]);
    head.scope = "row";
    const bar = document.createElement("span"), last = document.createElement("td");
    bar.className = "bar";
    bar.style.width = `${100 * answer.probabilities[k]}%`;
    last.append(bar);
    row.append(head, cell("td", percent(answer.probabilities[k]), "right"), last);
    if (k === best) row.className = "best";
    return row;
  }));
  at("nearest").replaceChildren(...answer.nearest.map((each) => {
    const item = document.createElement("li"), canvas = document.createElement("canvas");
    paint(canvas, bytes(each.seen), run.channels, run.height, run.width);
    canvas.setAttribute("aria-hidden", "true");
    const text = document.createElement("span");
    text.className = "soft";
    text.textContent = word("near", classes[each.label], short(each.distance));
    item.append(canvas, text);
    return item;
  }));
  showMaps();
  at("save-maps").disabled = false;
  at("maps-saved").textContent = "";
}

function cell(kind, text, name) {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function showMaps() {
  const figures = state.run.layers.filter((layer) => layer.path in state.answer.layers).map((layer) => {
    const map = state.answer.layers[layer.path], values = bytes(map.values);
    let figure = document.querySelector(`figure[data-path="${CSS.escape(layer.path)}"]`);
    if (!figure) {
      figure = document.createElement("figure");
      figure.dataset.path = layer.path;
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.addEventListener("click", (event) => clicked(event, layer));
      figure.append(canvas, document.createElement("figcaption"));
    }
    const [canvas, caption] = figure.children, isMap = map.shape.length === 3;
    const [channels, height, width] = isMap ? map.shape : [1, 1, map.shape[0]];
    const tiles = tiled(map, canvas);
    layouts.set(layer.path, tiles);
    const context = canvas.getContext("2d"), picture = context.createImageData(canvas.width, canvas.height);
    picture.data.fill(0);
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < height; i++) {
        for (let k = 0; k < width; k++) {
          const [x, y] = tiles.corner(c, i, k);
          for (let a = 0; a < tiles.zoom; a++) {
            for (let b = 0; b < tiles.zoom; b++) {
              const p = 4 * ((y + a) * canvas.width + x + b);
              picture.data[p] = picture.data[p + 1] = picture.data[p + 2] = values[(c * height + i) * width + k];
              picture.data[p + 3] = 255;
            }
          }
        }
      }
    }
    context.putImageData(picture, 0, 0);
    const range = [short(map.low), short(map.high)];
    let told = isMap ? word("map", label(layer.label), layer.shape[0], height, width, ...range)
      : word("units", label(layer.label), layer.shape.reduce((a, b) => a * b, 1), ...range);
    canvas.setAttribute("aria-label", told);
    const all = layer.shape[0], shown = map.shape[0];
    if (shown < all) told += word("left", shown, all);
    caption.textContent = told;
    return figure;
  });
  if (at("layers").children.length !== figures.length) at("layers").replaceChildren(...figures);
}

const layouts = new Map(); // path -> where its numbers were painted

// Where each number of a layer stands in its canvas: maps in rows of tiles, units in rows.
function tiled(map, canvas) {
  const isMap = map.shape.length === 3;
  const [channels, height, width] = isMap ? map.shape : [map.shape[0], 1, 1];
  const zoom = isMap ? Math.max(1, Math.min(12, Math.floor(96 / width))) : 14;
  const gap = isMap ? 4 : 2, wide = width * zoom + gap, high = height * zoom + gap;
  const most = Math.max(1, Math.floor((Math.min(1100, at("maps").clientWidth - 40) + gap) / wide));
  const columns = Math.min(channels, most), rows = Math.ceil(channels / columns);
  canvas.width = columns * wide - gap;
  canvas.height = rows * high - gap;
  canvas.style.background = "transparent";
  return {
    zoom,
    corner(c, i, k) {
      const n = isMap ? c : k;
      const x = (n % columns) * wide, y = Math.floor(n / columns) * high;
      return isMap ? [x + k * zoom, y + i * zoom] : [x, y];
    },
    number(x, y) {
      const column = Math.floor(x / wide), row = Math.floor(y / high), n = row * columns + column;
      const i = Math.floor((y - row * high) / zoom), k = Math.floor((x - column * wide) / zoom);
      if (n >= channels || i >= height || k >= width || column >= columns) return null;
      return isMap ? [n, i, k] : [n];
    },
  };
}

function clicked(event, layer) {
  const canvas = event.currentTarget, box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  const place = layouts.get(layer.path).number((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
  if (place && state.run.explains) explain(layer.path, place).then(() => at("number").scrollIntoView({ block: "nearest" }));
}

// --- begin ---------------------------------------------------------------------------------------

async function begin() {
  prepare();
  at("language").addEventListener("click", () => { language = language === "zh" ? "en" : "zh"; speak(); });
  at("layer").addEventListener("change", () => fillPlaces());
  at("which").addEventListener("submit", (event) => {
    event.preventDefault();
    explain(at("layer").value, [...at("places").querySelectorAll("input")].map((each) => Number(each.value)));
  });
  at("tests").addEventListener("submit", (event) => { event.preventDefault(); choose(at("image").value); });
  at("save-maps").addEventListener("click", saveMaps);
  at("save-number").addEventListener("click", saveNumber);
  at("before").addEventListener("click", () => choose((state.image ?? 0) - 1));
  at("after").addEventListener("click", () => choose((state.image ?? -1) + 1));
  speak();
  redraw();
  try {
    state.run = await ask("/about");
  } catch (error) {
    at("verdict").textContent = error.message;
    return;
  }
  at("name").textContent = state.run.name;
  document.title = state.run.name;
  at("image").max = state.run.tests - 1;
  at("drawing").hidden = state.run.channels !== 1;
  at("centred-line").hidden = !state.run.centred;
  at("number").hidden = at("maps-how").hidden = !state.run.explains;
  if (state.run.live || state.run.training) lookBack();
  speak();
  choose(0);
}

begin();
