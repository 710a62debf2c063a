"use strict";
// A network in training: where it is, and what is done to it.

function watch() {
  at("control").hidden = at("gradients").hidden = false;
  at("going").addEventListener("click", () => control({ going: !state.live.going }));
  at("step").addEventListener("click", () => control({ step: true }));
  at("again").addEventListener("click", () => control({ start: at("start").value, going: true }));
  at("shuffles").addEventListener("change", () => control({ shuffles: at("shuffles").checked }));
  at("control").addEventListener("submit", (event) => {
    event.preventDefault();
    control({ rate: at("rate").valueAsNumber });
  });
  at("verdict").removeAttribute("role"); // it changes with every step
  poll();
}

let wishes = 0; // what was told before the last of them is old

async function poll() {
  const wish = wishes;
  try {
    const live = await ask("/live");
    if (wish === wishes) take(live);
  } catch (error) {
    at("failed").textContent = error.message;
  }
  setTimeout(poll, state.live && state.live.going ? 500 : 1500);
}

async function control(wanted) {
  const wish = ++wishes;
  try {
    const live = await ask("/control", wanted);
    if (wish === wishes) take(live);
  } catch (error) {
    at("failed").textContent = error.message;
  }
}

function take(live) {
  const isNew = !state.live || state.live.step !== live.step || Boolean(state.live.failed) !== Boolean(live.failed);
  if (!state.live || state.live.rate !== live.rate) at("rate").value = short(live.rate);
  state.live = live;
  const isGone = takeMoments(live.moments);
  showLive();
  if (isGone || (isNew && state.moment === undefined)) {
    refreshFilters();
    if (state.asked) refresh();
  }
}

function failure(failed) {
  return "loss" in failed ? word("failed", failed.loss) : said(failed);
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
  const right = live.accuracies;
  showCurves(live.losses, losses.length
    ? word("lossNow", short(last), short(Math.min(...losses)), short(Math.max(...losses))) : word("noSteps"),
    right, word("accuracyNow", percent(right[right.length - 1][1])));
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
  showMoment();
}
