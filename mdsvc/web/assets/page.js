// What the page does beside being read: it fetches its content anew when something changes, filters
// the rows that are there, and has arrow keys in the map. All of it works without.
"use strict";

const main = document.querySelector("main");
const live = document.getElementById("live");

// ---- live ----

const REFRESH_MS = 1000;  // at most so often
let waiting = null;
let missed = false;

function say(text) {
  if (live && live.textContent !== text) live.textContent = text;
}

function refreshSoon() {
  if (waiting === null) waiting = setTimeout(refresh, REFRESH_MS);
}

async function refresh() {
  if (document.hidden) { waiting = null; missed = true; return; }
  try {
    const answer = await fetch(location.href, { cache: "no-store", redirect: "manual" });
    if (answer.type === "opaqueredirect") { location.reload(); return; }
    if (answer.ok || answer.status === 404) replace(await answer.text());
    say(answer.ok ? "live" : `not up to date: ${answer.status}`);
    waiting = null;
    if (answer.status === 503) waiting = setTimeout(refresh, 5 * REFRESH_MS);
  } catch {
    say("not up to date: no answer");
    waiting = null;
  }
}

function catchUp() {
  if (!document.hidden && missed) { missed = false; refreshSoon(); }
}
document.addEventListener("visibilitychange", catchUp);
main.addEventListener("focusout", catchUp);

// The fields that somebody may be typing into, and where the keyboard is, stay as they are.
function replace(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  if (!fresh) return;
  if (document.activeElement?.matches("main input, main textarea")) { missed = true; return; }
  const focused = document.activeElement && document.activeElement.id;
  const scrolled = [...main.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  const filtered = document.getElementById("filter")?.value ?? "";
  main.replaceChildren(...document.importNode(fresh, true).childNodes);
  prepare(filtered);
  main.querySelectorAll(".scroll").forEach((box, at) => { box.scrollLeft = scrolled[at] ?? 0; });
  const again = focused && document.getElementById(focused);
  if (again) { rove(again); again.focus({ preventScroll: true }); }
}

if (main.dataset.events) {
  const source = new EventSource(main.dataset.events);
  let wasOpen = false;
  source.addEventListener("open", () => {
    say("live");
    if (wasOpen) refreshSoon();  // what came while nobody listened
    wasOpen = true;
  });
  source.addEventListener("error", () => say("not live; trying again"));
  for (const kind of ["host", "instance", "reset"]) source.addEventListener(kind, refreshSoon);
}

// ---- filter ----

function filter(text) {
  const wanted = text.trim().toLowerCase();
  for (const row of main.querySelectorAll("tbody tr")) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
  }
}

// ---- the map ----

const tiles = () => [...main.querySelectorAll("[data-map] .cpu")];

// Of all tiles the Tab key stops at one; from there the arrows go on.
function rove(to) {
  if (!to.matches("[data-map] .cpu")) return;
  for (const tile of tiles()) tile.tabIndex = tile === to ? 0 : -1;
}

function next(from, key) {
  const all = tiles();
  const at = all.indexOf(from);
  if (key === "Home") return all[0];
  if (key === "End") return all[all.length - 1];
  if (key === "ArrowUp") return all[at - 1];
  if (key === "ArrowDown") return all[at + 1];
  const cores = [...main.querySelectorAll("[data-map] .core")];
  const core = cores[cores.indexOf(from.parentElement) + (key === "ArrowRight" ? 1 : -1)];
  const row = [...from.parentElement.children].indexOf(from);
  return core && (core.children[row] ?? core.lastElementChild);
}

const KEYS = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End"];
main.addEventListener("keydown", (event) => {
  const from = event.target.closest("[data-map] .cpu");
  if (!from || !KEYS.includes(event.key) || event.ctrlKey || event.altKey || event.metaKey) return;
  const to = next(from, event.key);
  if (to) { rove(to); to.focus(); }
  event.preventDefault();
});
main.addEventListener("focusin", (event) => rove(event.target));

function prepare(filtered) {
  const box = document.getElementById("filter");
  if (box) {
    box.parentElement.hidden = false;
    box.value = filtered;
    box.addEventListener("input", () => filter(box.value));
    if (filtered) filter(filtered);
  }
  const first = document.querySelector("[data-map] .cpu:target") ?? tiles()[0];
  if (first) rove(first);
}

prepare("");
