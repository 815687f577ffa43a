// What every part of the page uses: elements, words, and the way to ask the server.

export const $ = (id) => document.getElementById(id);

// What the server told last: `info` once, `state` at every change.
export const told = { info: null, words: {}, state: { jobs: [], pictures: {}, uploads: [], masks: {} } };

export function make(kind, properties = {}, children = []) {
  const { data = {}, ...own } = properties;
  const element = Object.assign(document.createElement(kind), own);
  for (const [name, value] of Object.entries(data)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// What a reload must not lose.
export function kept(name, value) {
  if (value === undefined) return localStorage.getItem("ip2p." + name);
  localStorage.setItem("ip2p." + name, value);
}

export const picture = (id) => "api/picture/" + id;

export function clearErrors() {
  document.querySelectorAll(".error[id]").forEach((place) => { place.textContent = ""; });
  document.querySelectorAll("[aria-invalid]").forEach((e) => e.removeAttribute("aria-invalid"));
}

// Say what is wrong beside the control that it concerns.
export function complain({ where, message }) {
  ($("error-" + where) || $("error-")).textContent = message;
  const control = where && $(where);
  if (!control) return;
  control.setAttribute("aria-invalid", true);
  if (control.closest("details")) control.closest("details").open = true;
  control.focus();
}

// A call of the server. An Error is thrown for what it refuses, after it is said on the page.
export async function ask(path, body) {
  const options = { headers: { "X-Language": document.documentElement.lang } };
  if (body !== undefined) {
    options.method = "POST";
    options.body = body instanceof Blob || body === null ? body : JSON.stringify(body);
  }
  if (body instanceof File) options.headers["X-Name"] = encodeURIComponent(body.name);
  let answer, said;
  try {
    answer = await fetch("api/" + path, options);
    said = await answer.json();
  } catch (error) {
    complain({ where: "", message: told.words.unheard || String(error) });
    throw error;
  }
  if (answer.ok) {
    sessionStorage.removeItem("ip2p.begun");
    return said;
  }
  if (answer.status === 410 && !sessionStorage.getItem("ip2p.begun")) {
    sessionStorage.setItem("ip2p.begun", "1");  // where cookies are off, once is enough
    location.reload();
  }
  complain(said);
  throw new Error(said.message);
}

// Replace what an element holds only where that has changed, so that the focus stays.
export function redraw(element, key, children) {
  const signature = JSON.stringify(key);
  if (element.dataset.drawn === signature) return;
  const focused = element.contains(document.activeElement) && document.activeElement.dataset.key;
  element.dataset.drawn = signature;
  element.replaceChildren(...children());
  if (focused) element.querySelector(`[data-key="${focused}"]`)?.focus();
}
