// The form: tabs of tiles, the sentence, the settings, and what is sent for an edit.

import { $, ask, clearErrors, complain, kept, make, told } from "./shared.js";
import { saved } from "./mask.js";

const SCALES = ["text_cfg", "image_cfg"];
const CHECKS = ["auto", "random_scales", "random_seed", "all"];
let tab = "hair";
let moved = false;  // whether a person has moved a scale: then tiles leave both alone

const names = () => [...SCALES, ...told.info.settings.map((setting) => setting.name)];

export function drawForm() {
  const { texts, settings, lists } = told.info;
  const values = Object.fromEntries(
    settings.filter(({ name }) => $(name)).map(({ name }) => [name, $(name).value]));
  $("settings").replaceChildren(...settings.flatMap((setting) => field(setting, texts.fields)));
  for (const [name, value] of Object.entries(values)) $(name).value = value;
  for (const name of [...SCALES, "instruction"]) $(name).title = texts.fields[name].tooltip;
  $("instruction").placeholder = told.words.example;
  drawTabs();
  drawModel();
}

function field({ name, choices, number, default: usual }, fields) {
  const { name: label, tooltip } = fields[name];
  const listed = Object.entries(choices);
  const about = { id: name, name, title: tooltip || "", data: { "aria-describedby": "error-" + name } };
  const control = listed.length
    ? make("select", about, listed.map(([value, shown]) => new Option(shown, value)))
    : make("input", { ...about, autocomplete: "off", inputMode: number ? "decimal" : "text" });
  control.value = name === "checkpoint" ? told.info.checkpoint : usual;
  return [
    make("label", { htmlFor: name, textContent: label || name, title: tooltip || "" }), control,
    make("p", { className: "error", id: "error-" + name, data: { role: "alert" } }),
  ];
}

function drawTabs() {
  const { tiles } = told.info.texts, all = Object.keys(tiles);
  $("tabs").replaceChildren(...all.map((name) => {
    const chosen = name === tab;
    const button = make("button", {
      type: "button", id: "tab-" + name, textContent: told.words["tab_" + name],
      tabIndex: chosen ? 0 : -1,
      data: { role: "tab", "aria-selected": chosen, "aria-controls": "tiles" },
    });
    button.onclick = () => choose(name);
    button.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = { Home: all[0], End: all[all.length - 1] }[event.key]
        || (step && all[(all.indexOf(name) + step + all.length) % all.length]);
      if (!next) return;
      event.preventDefault();
      choose(next);
      $("tab-" + next).focus();
    };
    return button;
  }));
  $("tiles").setAttribute("aria-labelledby", "tab-" + tab);
  $("tiles").replaceChildren(...tiles[tab].flatMap((group) => [
    make("h3", { textContent: group.name }),
    make("div", {}, group.values.map(({ value, name, swatch }) => {
      const tile = make("button", { type: "button", textContent: name, data: { "data-value": value } });
      if (swatch) {
        tile.className = "swatch";
        tile.style.setProperty("--swatch", swatch);
      }
      tile.onclick = () => edit({ preset: group.preset, value });
      return tile;
    })),
    make("p", { textContent: group.needs }),
  ]));
}

function choose(name) {
  tab = name;
  drawTabs();
}

// Which model is chosen and what it is good for.
function drawModel() {
  const { models, built_in } = told.info, name = $("checkpoint").value, model = models[name];
  $("drawings").hidden = name !== built_in;
  const about = name === built_in ? told.words.drawings : model?.family ? told.words.knows : told.words.known_by_name;
  $("about").textContent = `${told.words.model} ${name}. ${about.replace("{family}", model?.family)}`;
}

export function setForm(settings) {
  for (const name of [...names(), "instruction"]) {
    if (settings[name] !== undefined) $(name).value = settings[name];
  }
  if (settings.auto !== undefined) $("auto").checked = settings.auto;
  showForm();
  remember();
}

function usual() {
  const { text_cfg, image_cfg } = told.info.models[$("checkpoint").value] || {};
  moved = false;
  if (text_cfg) setForm({ text_cfg, image_cfg });
}

function showForm() {
  const found = $("auto").checked || $("random_scales").checked;
  for (const name of SCALES) {
    $(name + "-slider").value = $(name).value;
    $(name).disabled = $(name + "-slider").disabled = found;
  }
  $("seed").disabled = $("random_seed").checked;
  $("random_scales").disabled = $("auto").checked;
  drawModel();
}

function remember() {
  const form = { moved };
  for (const name of [...names(), "instruction", "count"]) form[name] = $(name).value;
  for (const name of CHECKS) form[name] = $(name).checked;
  kept("form", JSON.stringify(form));
}

// The form as it was before a reload; else as it begins.
export function recall() {
  const form = JSON.parse(kept("form") || "null");
  if (!form) {
    for (const setting of told.info.settings) $(setting.name).value = setting.default;
    $("checkpoint").value = told.info.checkpoint;
    $("instruction").value = "";
    $("count").value = 1;
    for (const name of CHECKS) $(name).checked = name === "random_seed";
    usual();
    return;
  }
  for (const [name, value] of Object.entries(form)) {
    if (CHECKS.includes(name)) $(name).checked = value;
    else if (name !== "moved" && $(name)) $(name).value = value;
  }
  if (!$("checkpoint").value) $("checkpoint").value = told.info.checkpoint;  // it is gone
  moved = form.moved;
  showForm();
}

export async function edit(more = {}) {
  clearErrors();
  if (!told.state.current) return complain({ where: "upload", message: told.words.first });
  const settings = {};
  for (const name of names()) settings[name] = $(name).value;
  if ($("random_seed").checked) delete settings.seed;
  if (more.preset && !moved) for (const name of SCALES) delete settings[name];
  const asked = {
    source: told.state.current, instruction: $("instruction").value, settings,
    count: $("count").value, ...more,
  };
  for (const name of CHECKS) asked[name] = $(name).checked;
  remember();
  await saved();  // the mask
  await ask("edit", asked).catch(() => {});  // it is said beside its control
}

$("form").onsubmit = (event) => {
  event.preventDefault();
  edit();
};
$("form").oninput = ({ target }) => {
  if (target.dataset.of) $(target.dataset.of).value = target.value;
  if (SCALES.includes(target.dataset.of || target.id)) moved = true;
  if (target.id === "checkpoint") usual();
  showForm();
  remember();
};
