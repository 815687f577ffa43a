// The picture, before and after; what is being made; the seeds of a turn; and the history.

import { edit, setForm } from "./form.js";
import { drawMask } from "./mask.js";
import { $, ask, clearErrors, complain, make, picture, redraw, told } from "./shared.js";

let shownFor = null;
const told_of = new Set();  // failures that were said beside their control

const isEdit = (job) => job.threshold === null;
const jobOf = (id) => told.state.jobs.find((job) => job.result === id && isEdit(job));
const of = (turn) => told.state.jobs.filter((job) => job.turn === turn);
const busy = (job) => ["waiting", "running"].includes(job.state);

export function draw() {
  const { current, jobs, uploads, pictures } = told.state;
  $("main").classList.toggle("empty", !current);
  $("stage").hidden = !current;
  $("past").hidden = !jobs.some((job) => isEdit(job) && !busy(job));
  $("all-row").hidden = uploads.length < 2;
  if (shownFor !== null || current) $("try").open = $("try").open && !current;
  redraw($("uploads"), [uploads.length > 1 && uploads, current], () => uploads.length < 2 ? []
    : uploads.map((id) => thumb(id, pictures[id], id === current)));
  drawStatus();
  if (!current) {
    shownFor = null;
    return;
  }
  const made = jobOf(current);
  if (shownFor !== current) show(current, made);
  $("compare-row").hidden = $("made").hidden = !made;
  $("stage-title").textContent = made ? made.instruction : pictures[current];
  const others = made ? of(made.turn).filter((job) => job.result && job.source === made.source) : [];
  redraw($("strip"), [others.length > 1 && others.map((job) => job.result), current],
    () => others.length < 2 ? [] : others.map((job) =>
      thumb(job.result, `${job.instruction}, ${told.words.seed} ${job.settings.seed}`,
        job.result === current)));
  const region = jobs.filter((job) => !isEdit(job) && job.source === current && job.state === "done").pop();
  $("threshold-row").hidden = !region;
  const notes = made ? made.notes : region ? region.notes : [];
  $("notes").textContent = notes.join(" ");
  redraw($("history"), [jobs, document.documentElement.lang], drawHistory);
  drawMask();
}

function show(current, made) {
  shownFor = current;
  $("live").hidden = true;
  $("after").src = picture(current);
  $("before").src = picture(made ? made.source : current);
  $("after").alt = made ? made.instruction : told.words.before;
  $("before").alt = told.words.before;
  $("view").classList.toggle("both", Boolean(made));
  $("compare").value = 0;
  compare();
  for (const kind of ["png", "jpg", "webp"]) $(kind).href = `${picture(current)}?format=${kind}`;
  if (made) setForm({ ...made.settings, ...made.found, instruction: made.instruction });
}

function thumb(id, name, chosen) {
  return make("button", {
    type: "button", title: name, onclick: () => go(id),
    data: { "aria-pressed": Boolean(chosen), "data-key": id },
  }, [make("img", { src: picture(id) + "?small", alt: name, loading: "lazy" })]);
}

function go(id) {
  return ask("current", { picture: id }).catch(() => {});
}

// ---- what is being made ----

function drawStatus() {
  const { jobs } = told.state;
  const turns = [...new Set(jobs.filter(busy).map((job) => job.turn))];
  const final = jobs[jobs.length - 1];
  const failed = final && final.state === "failed" ? final : null;
  if (!turns.length) $("live").hidden = true;
  redraw($("status"), [turns, failed && failed.id, document.documentElement.lang], () => [
    ...turns.map(turnLine), ...(failed ? [failure(failed)] : [])]);
  turns.forEach(progress);
  if (failed && failed.where && !told_of.has(failed.id)) complain(failed);
  if (failed) told_of.add(failed.id);
}

function turnLine(turn) {
  const [job] = of(turn);
  const name = job.threshold === null ? job.instruction : `${told.words.find}: ${job.instruction}`;
  return make("div", { className: "job", id: "job-" + turn }, [
    make("span", { textContent: name }),
    make("progress", { max: 1, value: 0, data: { "aria-label": name } }),
    make("span", { className: "quiet" }),
    make("button", {
      type: "button", textContent: told.words.cancel, onclick: () => ask("cancel", { turn }),
      data: { "data-key": turn, "aria-label": `${told.words.cancel}: ${name}` },
    }),
  ]);
}

function failure(job) {
  const again = make("button", { type: "button", textContent: told.words.again, onclick: () => {
    setForm({ ...job.settings, instruction: job.instruction });
    edit(job.threshold === null ? {} : { threshold: job.threshold });
  } });
  return make("div", { className: "job" }, [
    make("span", { className: "error", textContent: job.message }), again]);
}

const since = {};  // when a job's first step was seen, for the time that is left

// How far a turn is: done edits and the steps of the one that runs.
function progress(turn) {
  const line = $("job-" + turn), all = of(turn), { words, state } = told;
  if (!line) return;
  const running = all.find((job) => job.state === "running");
  const done = all.filter((job) => !busy(job)).length;
  const part = running && running.steps ? running.step / running.steps : 0;
  const parts = [];
  if (all.length > 1) parts.push(`${Math.min(done + 1, all.length)}/${all.length}`);
  if (!running) parts.push(words.waiting.replace("{n}", state.ahead[all.find(busy).id] ?? 0));
  else if (!running.steps) parts.push(words.begins);
  else {
    parts.push(`${words.step} ${running.step}/${running.steps}`);
    const [began, first] = since[running.id] ||= [Date.now(), running.step];
    if (running.step > first) {
      const each = (Date.now() - began) / 1000 / (running.step - first);
      const steps = running.steps * (all.length - done) - running.step;
      parts.push(words.left.replace("{n}", Math.ceil(each * steps)));
    }
  }
  line.querySelector("progress").value = (done + part) / all.length;
  line.querySelector(".quiet").textContent = parts.join(" \u00b7 ");
}

export function step({ job: id, step, steps }) {
  const job = told.state.jobs.find((other) => other.id === id);
  if (!job) return;
  Object.assign(job, { step, steps });
  progress(job.turn);
}

export function preview({ job: id, image }) {
  const job = told.state.jobs.find((other) => other.id === id);
  if (!job || !isEdit(job) || job.source !== told.state.current) return;
  $("live").src = "data:image/jpeg;base64," + image;
  $("live").hidden = false;
}

// ---- history ----

function drawHistory() {
  return told.state.jobs.filter((job) => isEdit(job) && !busy(job)).reverse().map((job) => {
    const { text_cfg, image_cfg, seed, steps, sampler_name, scheduler } = { ...job.settings, ...job.found };
    const used = [
      ...Object.entries({ text_cfg, image_cfg, seed, steps }).filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${told.info.texts.fields[name].name || name} ${value}`),
      [sampler_name, scheduler].filter(Boolean).join("/"), job.settings.negative,
    ].filter(Boolean).join(" \u00b7 ");
    const state = { cancelled: told.words.cancelled, failed: told.words.failed }[job.state];
    const about = make("div", {}, [
      make("div", { textContent: job.instruction + (state ? ` (${state})` : "") }),
      make("small", { textContent: used }),
    ]);
    if (!job.result) return make("li", {}, [about]);
    return make("li", {}, [thumb(job.result, `${told.words.use}: ${job.instruction}, ${seed}`), about]);
  });
}

// ---- before and after ----

function compare() {
  const share = $("compare").value / 100, image = $("before");
  image.style.clipPath = `inset(0 ${100 - 100 * share}% 0 0)`;
  const line = $("divider");
  line.hidden = !$("view").classList.contains("both");
  line.style.left = image.offsetLeft + share * image.clientWidth - 1.5 + "px";
  line.style.top = image.offsetTop + "px";
  line.style.height = image.clientHeight + "px";
}

function compareAt(event) {
  const box = $("after").getBoundingClientRect();
  $("compare").value = 100 * (event.clientX - box.left) / box.width;
  compare();
}

function placed() {
  $("view").style.setProperty("--ratio", $("after").naturalWidth / $("after").naturalHeight || 1);
  compare();
  drawMask();
}

$("compare").oninput = compare;
$("view").onpointerdown = (event) => { if ($("view").classList.contains("both")) compareAt(event); };
$("view").onpointermove = (event) => {
  if (event.buttons && $("view").classList.contains("both")) compareAt(event);
};
$("after").onload = $("before").onload = placed;
new ResizeObserver(placed).observe($("view"));

$("undo").onclick = () => go(jobOf(told.state.current).source);
$("find").onclick = () => edit({ threshold: $("threshold").value });
$("threshold").onchange = () => {
  const found = told.state.jobs.filter((job) => !isEdit(job) && job.source === told.state.current).pop();
  const { source, instruction, settings } = found, threshold = $("threshold").value;
  ask("edit", { source, instruction, settings, threshold, random_seed: false }).catch(() => {});
};
$("editor").onclick = async () => {
  clearErrors();
  const tab = open("about:blank", "ip2p-editor");  // now, else the browser takes it for a pop-up
  try {
    tab.location = (await ask("editor", { picture: told.state.current })).url;
  } catch {
    tab.close();
  }
};
