// Where a picture may change: painted by pointer or keys, or found; kept by the server.

import { $, ask, picture, told } from "./shared.js";

const MOST = 1600;  // pixels of the longer side that are painted on; the server fits them
const INK = "#ff4081";
const canvas = $("mask"), pen = canvas.getContext("2d", { willReadFrequently: true });
let brush = null, last = null, shown = null, sending = Promise.resolve(), unsent = 0;
const at = { x: 0, y: 0 };  // of the keys' cursor, in pixels of the canvas

// Once everything that was painted is at the server.
export const saved = () => sending;

// Lie over the picture, and show its mask.
export async function drawMask() {
  const image = $("after"), { current, masks } = told.state;
  if (!image.naturalWidth || unsent) return;
  const scale = Math.min(1, MOST / Math.max(image.naturalWidth, image.naturalHeight));
  const width = Math.round(image.naturalWidth * scale), height = Math.round(image.naturalHeight * scale);
  const wanted = [current, masks[current], width, height].join();
  if (shown === wanted) return;
  shown = wanted;
  canvas.width = width;
  canvas.height = height;
  Object.assign(at, { x: width / 2, y: height / 2 });
  if (!masks[current]) return;
  const mask = new Image();
  mask.src = picture(masks[current]);
  await mask.decode();
  if (shown !== wanted) return;
  pen.drawImage(mask, 0, 0, width, height);
  const pixels = pen.getImageData(0, 0, width, height), data = pixels.data;
  for (let i = 0; i < data.length; i += 4) {  // white becomes ink, black nothing
    data[i + 3] = data[i];
    data[i] = 255;
    data[i + 1] = 64;
    data[i + 2] = 129;
  }
  pen.putImageData(pixels, 0, 0);
}

async function flattened() {
  const flat = document.createElement("canvas");
  flat.width = canvas.width;
  flat.height = canvas.height;
  const onto = flat.getContext("2d");
  for (const [how, color] of [["source-in", "#fff"], ["destination-over", "#000"]]) {
    if (color === "#fff") onto.drawImage(canvas, 0, 0);
    onto.globalCompositeOperation = how;
    onto.fillStyle = color;
    onto.fillRect(0, 0, flat.width, flat.height);
  }
  return new Promise((done) => { flat.toBlob(done, "image/png"); });
}

function save() {
  const of = told.state.current, size = [canvas.width, canvas.height];
  unsent += 1;
  sending = sending.then(flattened).then((flat) => ask("mask?of=" + of, flat))
    .then(({ mask }) => { shown = [of, mask, ...size].join(); }, () => {})  // it need not be read
    .finally(() => { unsent -= 1; });
}

function stroke(to) {
  const scale = canvas.width / canvas.getBoundingClientRect().width;
  const from = last || to;
  pen.globalCompositeOperation = brush === "erase" ? "destination-out" : "source-over";
  pen.strokeStyle = INK;
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = $("brush").value * scale;
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x + 0.01, to.y);
  pen.stroke();
  last = to;
}

function place(event) {
  const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
  return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
}

canvas.onpointerdown = (event) => {
  event.stopPropagation();
  canvas.setPointerCapture(event.pointerId);
  last = null;
  stroke(place(event));
};
canvas.onpointermove = (event) => { if (event.buttons) stroke(place(event)); };
canvas.onpointerup = save;

// By keys: arrows move a ring, space or Enter puts the brush down.
function showCursor() {
  const scale = canvas.getBoundingClientRect().width / canvas.width, ring = $("cursor");
  ring.hidden = document.activeElement !== canvas || !brush;
  ring.style.left = canvas.offsetLeft + at.x * scale + "px";
  ring.style.top = canvas.offsetTop + at.y * scale + "px";
  ring.style.width = ring.style.height = $("brush").value + "px";
}

canvas.onkeydown = (event) => {
  const step = $("brush").value * canvas.width / canvas.getBoundingClientRect().width / 2;
  const [x, y] = {
    ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step],
    " ": [0, 0], Enter: [0, 0],
  }[event.key] || [];
  if (x === undefined) return;
  event.preventDefault();
  at.x = Math.min(canvas.width, Math.max(0, at.x + x));
  at.y = Math.min(canvas.height, Math.max(0, at.y + y));
  if (!x && !y) {
    last = null;
    stroke({ ...at });
    save();
  }
  showCursor();
};
canvas.onfocus = canvas.onblur = showCursor;

for (const kind of ["paint", "erase"]) {
  $(kind).onclick = () => {
    brush = brush === kind ? null : kind;
    for (const other of ["paint", "erase"]) $(other).setAttribute("aria-pressed", brush === other);
    $("view").classList.toggle("painting", Boolean(brush));
    canvas.tabIndex = brush ? 0 : -1;
  };
}
$("brush").oninput = showCursor;
$("everywhere").onclick = async () => {
  await sending;
  await ask("mask?of=" + told.state.current, null);
};
