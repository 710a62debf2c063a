"use strict";
// A network in training: where it is, what is done to it, and how it was before.

function watch() {
  at("training").hidden = false;
  at("going").addEventListener("click", () => control({ going: !state.live.going }));
  at("step").addEventListener("click", () => control({ step: true }));
  at("again").addEventListener("click", () => control({ start: at("start").value, going: true }));
  at("shuffles").addEventListener("change", () => control({ shuffles: at("shuffles").checked }));
  at("control").addEventListener("submit", (event) => {
    event.preventDefault();
    control({ rate: at("rate").valueAsNumber });
  });
  at("moment").addEventListener("input", () => {
    state.moment = state.live.moments[Number(at("moment").value)];
    showMoment();
    refresh();
  });
  at("verdict").removeAttribute("role"); // it changes with every step
  poll();
}

async function poll() {
  try {
    take(await ask("/live"));
  } catch (error) {
    at("failed").textContent = error.message;
  }
  setTimeout(poll, state.live && state.live.going ? 500 : 1500);
}

async function control(wanted) {
  try {
    take(await ask("/control", wanted));
  } catch (error) {
    at("failed").textContent = error.message;
  }
}

function take(live) {
  const isNew = !state.live || state.live.step !== live.step || Boolean(state.live.failed) !== Boolean(live.failed);
  if (!state.live || state.live.rate !== live.rate) at("rate").value = short(live.rate);
  state.live = live;
  let isGone = false;
  if (state.moment !== undefined && !live.moments.includes(state.moment)) {
    state.moment = live.moments.filter((step) => step < state.moment).pop(); // every other one is kept
    isGone = true;
  }
  at("moment").max = live.moments.length;
  at("moment").value = state.moment === undefined ? live.moments.length : live.moments.indexOf(state.moment);
  showLive();
  if (isGone || (isNew && state.moment === undefined && state.asked)) refresh();
}

// The slider's last place is now; the others are steps whose weights are kept.
function chosenMoment() {
  return state.moment === undefined ? {} : { moment: state.moment };
}

function failure(failed) {
  return "loss" in failed ? word("failed", failed.loss) : failed.error;
}

function showMoment() {
  const { moment } = chosenMoment();
  at("moment-is").textContent = moment === undefined ? word("now") : moment;
  at("moment").setAttribute("aria-valuetext", at("moment-is").textContent);
}

function showLive() {
  const live = state.live;
  at("going").textContent = word(live.going ? "pause" : "going");
  at("shuffles").checked = live.shuffles;
  if (at("start").options.length !== state.run.starts.length || at("start").lang !== language) {
    const chosen = at("start").value;
    at("start").lang = language;
    at("start").replaceChildren(...state.run.starts.map((name) => new Option(word(name), name)));
    at("start").value = chosen || state.run.starts[0];
  }
  at("where").textContent = word("whereIs", live.step, live.epoch.toFixed(2), short(live.rate));
  at("failed").textContent = live.failed ? failure(live.failed) : "";
  const losses = live.losses.map(([, value]) => value), last = live.loss;
  curve(at("loss"), live.losses, 0, Math.max(...losses, 0.001), losses.length
    ? word("lossNow", short(last), short(Math.min(...losses)), short(Math.max(...losses))) : word("noSteps"));
  const right = live.accuracies;
  curve(at("accuracy"), right, 0, 1, word("accuracyNow", percent(right[right.length - 1][1])));
  const longest = Math.max(...live.gradients.map(([, value]) => value), 1e-30);
  at("gradients").tBodies[0].replaceChildren(...live.gradients.map(([name, value]) => {
    const row = document.createElement("tr"), head = cell("th", label(name));
    head.scope = "row";
    const bar = document.createElement("span"), place = document.createElement("td");
    bar.className = "bar";
    bar.style.width = `${(100 * value) / longest}%`;
    place.append(bar);
    row.append(head, cell("td", short(value), "right"), place);
    return row;
  }));
  showFilters(live.filters);
  showMoment();
}

function curve(canvas, points, low, high, told) {
  const context = canvas.getContext("2d"), { width, height } = canvas, edge = 6;
  const style = getComputedStyle(document.documentElement);
  context.clearRect(0, 0, width, height);
  context.strokeStyle = style.getPropertyValue("--bar");
  context.lineWidth = 2;
  context.beginPath();
  const end = points.length ? Math.max(points[points.length - 1][0], 1) : 1;
  for (const [x, y] of points) {
    context.lineTo(edge + (x / end) * (width - 2 * edge), height - edge - ((y - low) / (high - low)) * (height - 2 * edge));
  }
  context.stroke();
  say(canvas, told);
}

function showFilters(filters) {
  const canvas = at("filters");
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
