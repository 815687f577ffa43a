// The page as a whole: its language, its pictures, and news from the server.

import { drawForm, edit, recall, setForm } from "./form.js";
import { $, ask, clearErrors, complain, kept, make, told } from "./shared.js";
import { draw, preview, step } from "./stage.js";

async function load(language) {
  document.documentElement.lang = language;
  told.info = await ask("info?language=" + encodeURIComponent(language));
  const { texts } = told.info;
  told.words = texts.words;
  document.documentElement.lang = texts.language;
  document.title = told.words.title;
  for (const e of document.querySelectorAll("[data-word]")) e.textContent = told.words[e.dataset.word];
  for (const e of document.querySelectorAll("[data-label]")) {
    e.setAttribute("aria-label", told.words[e.dataset.label]);
  }
  $("language").replaceChildren(
    ...Object.entries(texts.languages).map(([key, name]) => new Option(name, key)));
  $("language").value = texts.language;
  $("examples").replaceChildren(...Object.entries(texts.examples).map(([name, sentence]) =>
    make("button", { type: "button", onclick: () => example(name) }, [
      make("img", { src: "example/" + name, alt: "" }), make("span", { textContent: sentence })])));
  drawForm();
  // The editor at an address that only the server's machine has is of no use elsewhere.
  const here = (host) => /^(localhost|127\.|\[?::1)/.test(host);
  $("editor").hidden = here(told.info.editor) && !here(location.hostname);
  $("by-hand").hidden = !$("editor").hidden;
}

async function example(name) {
  clearErrors();
  const { instruction } = await ask("example", { name });
  setForm({ instruction });
  await refresh();
  await edit();
}

async function send(files) {
  clearErrors();
  $("read").textContent = "";
  const notes = [];
  for (const file of files) {
    if (file.size > told.info.limit) {
      const most = `${told.info.limit >> 20} MB`;
      complain({ where: "upload", message: told.words.too_large.replace("{n}", most) });
      return;
    }
    $("read").textContent = told.words.sending.replace("{name}", file.name);
    let found;
    try {
      found = await ask("upload", file);
    } catch {
      break;
    }
    notes.push(...found.notes);
    if (Object.keys(found.settings).length) {
      $("random_seed").checked = $("random_scales").checked = $("auto").checked = false;
      setForm(found.settings);
      notes.push(told.words.read);
    }
  }
  $("read").textContent = notes.join(" ");
}

// ---- news ----

let asked = null, again = false;

// Read the state; calls while one is under way make one more after it.
async function refresh() {
  if (asked) {
    again = true;
    return asked;
  }
  asked = ask("state").then((state) => { told.state = state; });
  try {
    await asked;
    draw();
  } catch { /* it is said on the page */ } finally {
    asked = null;
  }
  if (again) {
    again = false;
    await refresh();
  }
}

function listen() {
  const news = new EventSource("api/events");
  news.onopen = () => { $("lost").hidden = true; };
  news.onerror = () => {
    $("lost").hidden = false;
    if (news.readyState === EventSource.CLOSED) {  // refused, as by a server that was started anew
      news.close();
      setTimeout(() => ask("state").then(listen, () => setTimeout(listen, 2000)), 1000);
    }
  };
  news.addEventListener("state", refresh);
  news.addEventListener("step", (event) => step(JSON.parse(event.data)));
  news.addEventListener("preview", (event) => preview(JSON.parse(event.data)));
}

// ---- controls ----

for (const id of ["file", "camera", "folder"]) {
  $(id).onchange = async ({ target }) => {
    const files = [...target.files];
    const pictures = files.filter((file) => /^image\/|^$/.test(file.type) && !file.name.startsWith("."));
    await send(id === "folder" ? pictures : files);
    target.value = "";
  };
}
document.ondragover = (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
};
document.ondragleave = () => $("drop").classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  send([...event.dataTransfer.files]);
};
$("reset").onclick = async () => {
  await ask("reset", {});
  kept("form", "null");
  recall();
  clearErrors();
  $("read").textContent = "";
  $("try").open = true;
};
$("language").onchange = async () => {
  kept("language", $("language").value);
  await load($("language").value);
  recall();
  await refresh();
};

await load(kept("language") || (navigator.language.startsWith("zh") ? "zh" : "en"));
recall();
$("where").open = innerWidth > 800;
listen();
