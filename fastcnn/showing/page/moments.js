"use strict";
// A training looked back at: the slider over the moments whose weights are kept, curves, filters.

// The slider's last place is the network as it is; before it come epochs of a run, steps of a live one.
function lookBack() {
  at("training").hidden = false;
  at("moment").addEventListener("input", () => {
    state.moment = state.moments[Number(at("moment").value)];
    showTraining();
    refreshFilters();
    refresh();
    explainSoon();
  });
  if (state.run.live) { watch(); return; }
  at("answer").after(at("training"));
  at("keep").hidden = false;
  takeMoments(state.run.training.moments);
  refreshFilters();
}

// Whether the moment that was looked at is no longer kept.
function takeMoments(moments) {
  const isGone = state.moment !== undefined && !moments.includes(state.moment);
  if (isGone) state.moment = moments.filter((each) => each < state.moment).pop();
  state.moments = moments;
  at("moment").max = moments.length;
  at("moment").value = state.moment === undefined ? moments.length : moments.indexOf(state.moment);
  return isGone;
}

function chosenMoment() {
  return state.moment === undefined ? {} : { moment: state.moment };
}

function momentName() {
  if (state.moment === 0) return word("untrained");
  if (state.moment !== undefined) return word(state.run.live ? "afterStep" : "afterEpoch", state.moment);
  if (state.run.live) return word("now");
  return state.run.training.own ? word("ownEpoch", state.run.training.own) : word("ownWeights");
}

function showMoment() {
  const name = momentName();
  at("moment-is").textContent = name;
  at("moment").setAttribute("aria-valuetext", name);
}

function showTraining() {
  if (state.run.live) { if (state.live) showLive(); return; }
  at("where").hidden = true;
  const { losses, accuracies } = state.run.training;
  showCurves(losses, told("lossEpochs", losses, short), accuracies, told("accuracyEpochs", accuracies, percent));
  showMoment();
}

function told(name, points, tell) {
  const [first, last] = [points[0], points[points.length - 1]];
  return first && word(name, tell(first[1]), tell(last[1]), last[0]);
}

// Each with its sentence; without one it is not there.
function showCurves(losses, lossTold, accuracies, accuracyTold) {
  curve(at("loss"), losses, Math.max(...losses.map(([, value]) => value), 0.001), lossTold);
  curve(at("accuracy"), accuracies, 1, accuracyTold);
}

// From 0 to `high`, with a line at the moment that is looked at.
function curve(canvas, points, high, told) {
  canvas.parentElement.hidden = !told;
  if (!told) return;
  const context = canvas.getContext("2d"), { width, height } = canvas, edge = 6;
  const style = getComputedStyle(document.documentElement);
  const end = points.length ? Math.max(points[points.length - 1][0], 1) : 1;
  const across = (x) => edge + (x / end) * (width - 2 * edge);
  context.clearRect(0, 0, width, height);
  context.lineWidth = 2;
  if (state.moment !== undefined) {
    context.strokeStyle = style.getPropertyValue("--line");
    context.beginPath();
    context.moveTo(across(state.moment), 0);
    context.lineTo(across(state.moment), height);
    context.stroke();
  }
  context.strokeStyle = style.getPropertyValue("--bar");
  context.beginPath();
  for (const [x, y] of points) context.lineTo(across(x), height - edge - (y / high) * (height - 2 * edge));
  context.stroke();
  say(canvas, told);
}

// Those of the moment that is looked at; at most one question is on its way.
const filtering = { busy: false, waiting: false };

async function refreshFilters() {
  filtering.waiting = true;
  if (filtering.busy) return;
  filtering.busy = true;
  try {
    while (filtering.waiting) {
      filtering.waiting = false;
      state.filters = (await ask("/filters", chosenMoment())).filters;
      showFilters();
    }
  } catch (error) {
    at("failed").textContent = error.message;
  } finally {
    filtering.busy = false;
  }
}

function showFilters() {
  const canvas = at("filters"), { filters } = state;
  canvas.parentElement.hidden = !filters;
  if (!filters) return;
  const [count, height, width] = filters.shape, values = bytes(filters.values), zoom = Math.max(2, Math.floor(40 / width));
  const gap = 4, columns = Math.min(count, 8), rows = Math.ceil(count / columns);
  canvas.width = columns * (width * zoom + gap) - gap;
  canvas.height = rows * (height * zoom + gap) - gap;
  const context = canvas.getContext("2d");
  for (let f = 0; f < count; f++) {
    for (let k = 0; k < width * height; k++) {
      const grey = values[f * width * height + k];
      context.fillStyle = `rgb(${grey} ${grey} ${grey})`;
      context.fillRect((f % columns) * (width * zoom + gap) + (k % width) * zoom,
        Math.floor(f / columns) * (height * zoom + gap) + Math.floor(k / width) * zoom, zoom, zoom);
    }
  }
  say(canvas, word("filtersNow", count, height, width, short(filters.low), short(filters.high)));
}

function say(canvas, told) {
  canvas.setAttribute("aria-label", told);
  canvas.nextElementSibling.textContent = told;
}
