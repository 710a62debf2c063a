"use strict";
// What one sees as files: the browser saves them where it saves everything.

const EDGE = 16, LINE = 24;

function offer(blob, name, place) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // once it has been written
  at(place).textContent = word("saved", name);
}

// Which network, which image, what it says.
function heading() {
  const { image } = state.asked;
  const lines = [state.run.name, image === undefined ? word("drawn") : `${word("test")} ${image}`, at("verdict").textContent];
  if (state.moments) lines.splice(1, 0, `${word("moment")} ${momentName()}`);
  return lines;
}

function saveMaps() {
  const figures = [at("seen").parentElement, ...document.querySelectorAll("#layers figure")];
  const parts = figures.map((figure) => ({ canvas: figure.children[0], told: figure.children[1].textContent }));
  parts[0].zoom = 4; // what the network sees, a pixel for each of its own
  const size = ({ canvas, zoom = 1 }) => [zoom * canvas.width, zoom * canvas.height];
  const sheet = document.createElement("canvas"), context = sheet.getContext("2d"), lines = heading();
  const font = "15px system-ui, 'Noto Sans', 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif";
  context.font = font;
  const texts = [...lines, ...parts.map((part) => part.told)];
  sheet.width = 2 * EDGE + Math.max(...texts.map((text) => Math.ceil(context.measureText(text).width)), ...parts.map((part) => size(part)[0]));
  sheet.height = 2 * EDGE + lines.length * LINE + parts.reduce((sum, part) => sum + size(part)[1] + 2 * LINE, 0);
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue("--panel");
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.fillStyle = style.getPropertyValue("--ink");
  context.font = font; // a canvas of another size forgets it
  context.textBaseline = "middle";
  context.imageSmoothingEnabled = false;
  let y = EDGE;
  const write = (text) => { context.fillText(text, EDGE, y + LINE / 2); y += LINE; };
  lines.forEach(write);
  for (const part of parts) {
    y += LINE / 2;
    context.drawImage(part.canvas, EDGE, y, ...size(part));
    y += size(part)[1];
    write(part.told);
    y += LINE / 2;
  }
  sheet.toBlob((blob) => {
    if (blob) offer(blob, "maps.png", "maps-saved"); else at("maps-saved").textContent = word("tooLarge");
  });
}

function saveNumber() {
  const lines = [...heading(), ""];
  for (const part of at("explained").children) {
    const rows = part.querySelectorAll("tr"), items = part.querySelectorAll("li");
    if (rows.length) lines.push("", ...[...rows].map((row) => [...row.cells].map((each) => each.textContent).join("\t")), "");
    else if (items.length) lines.push(...[...items].map((item) => `  ${item.textContent}`));
    else lines.push(part.textContent);
  }
  const name = `${[state.number.label.replace(" ", ""), ...state.number.at].join("-").toLowerCase()}.txt`;
  offer(new Blob([`${lines.join("\n")}\n`], { type: "text/plain;charset=utf-8" }), name, "number-saved");
}
