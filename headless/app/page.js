"use strict";
const $ = (id) => document.getElementById(id);
const FIELDS = ["instruction", "negative", "seed", "steps", "text_cfg", "image_cfg",
  "sampler_name", "scheduler", "checkpoint"];
const CHECKS = ["auto", "random_scales", "random_seed", "all"];
let info, state = { jobs: [], pictures: {}, uploads: [] }, words = {}, tab = "hair", shownFor = null;

function kept(name, value) {  // what a reload must not lose
  if (value === undefined) return localStorage.getItem("ip2p." + name);
  localStorage.setItem("ip2p." + name, value);
}

async function ask(path, body, headers = {}) {
  document.querySelectorAll(".error").forEach((place) => { place.textContent = ""; });
  const plain = body instanceof Blob;
  const answer = await fetch("api/" + path, body === undefined ? {} : {
    method: "POST", body: plain ? body : JSON.stringify(body),
    headers: plain ? headers : { "Content-Type": "application/json" },
  });
  const told = await answer.json();
  if (answer.ok) return told;
  ($("error-" + told.where) || $("error-")).textContent = told.message;
  throw new Error(told.message);
}

// ---- what the page says ----

async function load(language) {
  info = await ask("info?language=" + encodeURIComponent(language));
  words = info.texts.words;
  document.documentElement.lang = info.texts.language;
  document.querySelectorAll("[data-word]").forEach((e) => { e.textContent = words[e.dataset.word]; });
  document.querySelectorAll("[data-label]").forEach((e) => {
    e.setAttribute("aria-label", words[e.dataset.label]);
  });
  document.querySelectorAll("[data-field]").forEach((e) => {
    const field = info.texts.fields[e.dataset.field];
    e.textContent = field.name || e.dataset.field;
    e.title = field.tooltip || "";
  });
  $("before").alt = words.before;
  $("after").alt = words.after;
  fill($("language"), Object.keys(info.texts.languages), info.texts.languages, info.texts.language);
  fill($("scene"), info.lists.scene, info.texts.scenes, $("scene").value);
  for (const name of ["sampler_name", "scheduler", "checkpoint"]) {
    fill($(name), info.lists[name], {}, $(name).value || info.defaults[name]);
  }
  $("drawings").hidden = !info.drawings;
  $("drawings").textContent = info.drawings;
  drawTabs();
  draw();
}

function fill(select, values, names, chosen) {
  select.replaceChildren(...values.map((value) => new Option(names[value] || value, value)));
  if (values.includes(chosen)) select.value = chosen;
}

function drawTabs() {
  $("tabs").replaceChildren(...Object.keys(info.texts.tiles).map((name) => {
    const button = make("button", { type: "button", role: "tab", textContent: words["tab_" + name] });
    button.setAttribute("aria-selected", name === tab);
    button.setAttribute("aria-controls", "tiles");
    button.onclick = () => { tab = name; drawTabs(); };
    return button;
  }));
  $("tiles").replaceChildren(...info.texts.tiles[tab].flatMap((group) => [
    make("p", { textContent: group.preset, title: group.needs }),
    make("div", {}, group.values.map((value) => {
      const tile = make("button", { type: "button", textContent: value });
      if (group.preset.includes("color")) {
        tile.className = "swatch";
        tile.style.setProperty("--swatch", value === "blonde" ? "#e3c277" : value);
      }
      tile.onclick = () => edit({ preset: group.preset, value });
      return tile;
    })),
  ]));
}

function make(kind, properties, children = []) {
  const element = Object.assign(document.createElement(kind), properties);
  if (properties.role) element.setAttribute("role", properties.role);
  element.append(...children);
  return element;
}

// ---- the form ----

function setForm(settings) {
  for (const name of FIELDS) {
    if (settings[name] !== undefined) $(name).value = settings[name];
  }
  showScales();
  remember();
}

function showScales() {
  for (const name of ["text_cfg", "image_cfg"]) {
    document.querySelector(`output[for=${name}]`).textContent = $(name).value;
    $(name).disabled = $("auto").checked || $("random_scales").checked;
  }
  $("seed").disabled = $("random_seed").checked;
}

function remember() {
  const form = {};
  for (const name of [...FIELDS, "count"]) form[name] = $(name).value;
  for (const name of CHECKS) form[name] = $(name).checked;
  kept("form", JSON.stringify(form));
}

function recall() {
  setForm(info.defaults);
  const form = JSON.parse(kept("form") || "{}");
  for (const name of [...FIELDS, "count"]) if (form[name] !== undefined) $(name).value = form[name];
  for (const name of CHECKS) if (form[name] !== undefined) $(name).checked = form[name];
  showScales();
}

async function edit(more = {}) {
  if (!state.current) { $("error-upload").textContent = words.choose; return; }
  const settings = {};
  for (const name of FIELDS) if (name !== "instruction") settings[name] = $(name).value;
  if ($("random_seed").checked) delete settings.seed;
  const asked = {
    source: state.current, instruction: $("instruction").value, settings,
    count: $("count").value, ...more,
  };
  for (const name of CHECKS) asked[name] = $(name).checked;
  try {
    if (painted && !asked.region) asked.mask = await sendMask();
    await ask("edit", asked);
  } catch { /* it stands beside its control */ }
  remember();
}

async function send(files) {
  for (const file of files) {
    try {
      const told = await ask("upload", file, { "X-Name": encodeURIComponent(file.name) });
      $("notes").textContent = told.notes.join(" ");
      if (Object.keys(told.settings).length) {
        setForm(told.settings);
        $("notes").textContent += " " + words.read;
      }
      clearMask();
    } catch { return; }
  }
}

// ---- the mask: white may change ----

let painted = false, brush = null, last = null;
const mask = $("mask"), pen = mask.getContext("2d");

function clearMask() {
  painted = false;
  pen.clearRect(0, 0, mask.width, mask.height);
}

function sizeMask() {
  const image = $("after");
  if (mask.width !== image.naturalWidth || mask.height !== image.naturalHeight) {
    mask.width = image.naturalWidth;
    mask.height = image.naturalHeight;
    painted = false;
  }
  mask.style.width = image.clientWidth + "px";
  mask.style.height = image.clientHeight + "px";
}

function stroke(event) {
  const box = mask.getBoundingClientRect(), scale = mask.width / box.width;
  const at = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  pen.globalCompositeOperation = brush === "erase" ? "destination-out" : "source-over";
  pen.strokeStyle = "#ff4081";
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = $("brush").value * scale;
  pen.beginPath();
  pen.moveTo(...(last || at));
  pen.lineTo(at[0] + 0.01, at[1]);
  pen.stroke();
  last = at;
  painted = true;
}

mask.onpointerdown = (event) => { mask.setPointerCapture(event.pointerId); last = null; stroke(event); };
mask.onpointermove = (event) => { if (event.buttons) stroke(event); };

async function sendMask() {
  const flat = make("canvas", { width: mask.width, height: mask.height });
  const onto = flat.getContext("2d");
  onto.drawImage(mask, 0, 0);
  onto.globalCompositeOperation = "source-in";
  onto.fillStyle = "#fff";
  onto.fillRect(0, 0, flat.width, flat.height);
  onto.globalCompositeOperation = "destination-over";
  onto.fillStyle = "#000";
  onto.fillRect(0, 0, flat.width, flat.height);
  const data = await new Promise((done) => flat.toBlob(done, "image/png"));
  return (await ask("upload?mask", data, { "X-Name": "mask.png" })).id;
}

async function takeRegion(id) {
  const image = new Image();
  image.src = "api/picture/" + id;
  await image.decode();
  clearMask();
  pen.globalCompositeOperation = "source-over";
  pen.drawImage(image, 0, 0, mask.width, mask.height);
  const pixels = pen.getImageData(0, 0, mask.width, mask.height), data = pixels.data;
  for (let at = 0; at < data.length; at += 4) {
    data[at + 3] = data[at];
    data.set([255, 64, 129], at);
  }
  pen.putImageData(pixels, 0, 0);
  painted = true;
}

for (const kind of ["paint", "erase"]) {
  $(kind).onclick = () => {
    brush = brush === kind ? null : kind;
    for (const other of ["paint", "erase"]) $(other).setAttribute("aria-pressed", brush === other);
    $("view").classList.toggle("painting", Boolean(brush));
  };
}
$("clear-mask").onclick = clearMask;
$("find").onclick = () => edit({ region: true });

// ---- what is shown ----

const jobOf = (picture) => state.jobs.find((job) => job.result === picture && !job.region);
const url = (id) => "api/picture/" + id;

function draw() {
  $("stage").hidden = !state.current;
  $("past").hidden = !state.jobs.length;
  $("all-row").hidden = state.uploads.length < 2;
  if (!state.current) return;
  const made = jobOf(state.current);
  const turn = made && state.jobs.filter((job) => job.turn === made.turn && job.source === made.source);
  if (shownFor !== state.current) {
    shownFor = state.current;
    $("after").src = url(state.current);
    $("before").src = url(made ? made.source : state.current);
    $("compare").value = 0;
    compare();
    for (const kind of ["png", "jpeg", "webp"]) $(kind).href = url(state.current) + "?format=" + kind;
    if (made) {  // what was used is written back
      setForm({ ...made.settings, instruction: made.instruction });
      $("notes").textContent = made.notes.join(" ");
    }
  }
  $("compare-row").hidden = !made;
  $("undo").disabled = !made;
  $("strip").replaceChildren(...(turn || []).filter((job) => job.result).map((job) => {
    const button = make("button", { type: "button", onclick: () => go(job.result) },
      [make("img", { src: url(job.result), alt: `${job.instruction}, ${job.settings.seed}` })]);
    button.setAttribute("aria-pressed", job.result === state.current);
    return button;
  }));
  drawStatus();
  drawHistory();
}

function drawStatus() {
  const busy = state.jobs.filter((job) => ["waiting", "running"].includes(job.state));
  const failed = state.jobs.filter((job) => job.state === "failed").slice(-1)
    .filter((job) => job === state.jobs[state.jobs.length - 1]);
  $("status").replaceChildren(...busy.map((job) => {
    const at = make("span", { id: "at-" + job.id, textContent: job.state === "waiting"
      ? words.waiting + (state.ahead[job.id] ?? 0) : words.running });
    return make("p", {}, [`${job.instruction}: `, at, " ",
      make("progress", { id: "bar-" + job.id, max: job.steps || 1, value: job.step }), " ",
      make("button", { type: "button", textContent: words.cancel,
        onclick: () => ask("cancel", { turn: job.turn }) })]);
  }), ...failed.map((job) => make("p", { className: "error" }, [
    job.message === "gone" ? words.gone : job.message, " ",
    make("button", { type: "button", textContent: words.again, onclick: () => {
      setForm({ ...job.settings, instruction: job.instruction });
      edit();
    } })])));
}

function drawHistory() {
  $("history").replaceChildren(...state.jobs.filter((job) => !job.region).slice().reverse().map((job) => {
    const scales = ["text_cfg", "image_cfg", "seed"].filter((name) => name in job.settings)
      .map((name) => `${name} ${job.settings[name]}`).join(", ");
    const about = make("span", { textContent: `${job.instruction} (${scales})` +
      (job.state === "cancelled" ? " " + words.cancelled : "") });
    if (!job.result) return make("li", {}, [about]);
    const button = make("button", { type: "button", title: words.use, onclick: () => go(job.result) },
      [make("img", { src: url(job.result), alt: words.use + ": " + job.instruction, loading: "lazy" })]);
    return make("li", {}, [button, about]);
  }));
}

async function go(picture) {
  clearMask();
  await ask("current", { picture });
}

function compare() {
  $("before").style.clipPath = `inset(0 ${100 - $("compare").value}% 0 0)`;
}

// ---- news ----

const started = {};
let regionTaken = null;

async function refresh() {
  state = await (await fetch("api/state")).json();
  draw();
  const found = state.jobs.filter((job) => job.region && job.result).pop();
  if (found && found.id !== regionTaken && found.source === state.current) {
    if (regionTaken !== null || state.jobs[state.jobs.length - 1] === found) takeRegion(found.result);
    regionTaken = found.id;
  }
}

function listen() {
  const news = new EventSource("api/events");
  news.onopen = () => { $("lost").hidden = true; };
  news.onerror = () => { $("lost").hidden = false; };
  news.addEventListener("state", refresh);
  news.addEventListener("step", (event) => {
    const { job, step, steps } = JSON.parse(event.data), bar = $("bar-" + job);
    started[job] = started[job] || [Date.now(), step];
    const [since, first] = started[job];
    const left = step > first ? Math.ceil((Date.now() - since) / 1000 / (step - first) * (steps - step)) : null;
    if (!bar) return;
    bar.max = steps;
    bar.value = step;
    $("at-" + job).textContent = `${words.step} ${step}/${steps}` +
      (left === null ? "" : ", " + words.left.replace("{n}", left));
  });
  news.addEventListener("preview", (event) => {
    const { job, image } = JSON.parse(event.data);
    if (!state.jobs.some((other) => other.id === job && !other.region)) return;
    const bar = $("bar-" + job);
    let shown = $("preview-" + job);
    if (bar && !shown) {
      shown = make("img", { id: "preview-" + job, alt: "", height: 96 });
      bar.after(shown);
    }
    if (shown) shown.src = "data:image/jpeg;base64," + image;
  });
}

// ---- controls ----

$("form").onsubmit = (event) => { event.preventDefault(); edit(); };
$("form").oninput = () => { showScales(); remember(); };
$("file").onchange = $("camera").onchange = (event) => {
  send([...event.target.files]).finally(() => { event.target.value = ""; });
};
$("drop").ondragover = (event) => { event.preventDefault(); $("drop").classList.add("over"); };
$("drop").ondragleave = () => $("drop").classList.remove("over");
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  send([...event.dataTransfer.files]);
};
$("example").onclick = async () => {
  const scene = $("scene").value;
  await ask("example", { scene });
  await refresh();
  $("instruction").value = scene.startsWith("portrait") ? "make her hair blue"
    : scene.startsWith("landscape") ? "make it snow" : "make it out of gold";
  edit();
};
$("compare").oninput = compare;
$("undo").onclick = () => go(jobOf(state.current).source);
$("reset").onclick = async () => {
  await ask("reset", {});
  kept("form", "{}");
  recall();
  clearMask();
  $("notes").textContent = "";
};
$("language").onchange = () => { kept("language", $("language").value); load($("language").value); };
$("after").onload = sizeMask;
addEventListener("resize", sizeMask);

load(kept("language") || (navigator.language.startsWith("zh") ? "zh" : "en"))
  .then(() => { recall(); listen(); });
