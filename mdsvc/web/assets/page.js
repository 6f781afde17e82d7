// What the page does beside being read: it fetches its content anew when something changes, searches
// as one types, filters the rows that are there, and has arrow keys in the map. All of it works
// without.
"use strict";

const main = document.querySelector("main");
const live = document.getElementById("live");

// ---- live ----

const REFRESH_MS = 1000;  // at most so often
const ANYHOW_MS = 30000;  // for what no event tells: guests fall silent, a store goes away
let waiting = null;
let missed = false;

function say(text, late = true) {
  if (!live || live.textContent === text) return;
  live.textContent = text;
  live.classList.toggle("late", late);
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
    say(answer.ok ? "live" : `not up to date: ${answer.status}`, !answer.ok);
    waiting = null;
    if (answer.status === 503 || main.querySelector("[data-again]")) waiting = setTimeout(refresh, 5 * REFRESH_MS);
  } catch {
    say("not up to date: no answer");
    waiting = setTimeout(refresh, 5 * REFRESH_MS);
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
  const opened = [...main.querySelectorAll("details")].map((part) => part.open);
  const scrolled = [...main.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  const filtered = document.getElementById("filter")?.value ?? "";
  main.replaceChildren(...document.importNode(fresh, true).childNodes);
  prepare(filtered);
  main.querySelectorAll(".scroll").forEach((box, at) => { box.scrollLeft = scrolled[at] ?? 0; });
  main.querySelectorAll("details").forEach((part, at) => { part.open = opened[at] ?? part.open; });
  const again = focused && document.getElementById(focused);
  if (again) { rove(again); again.focus({ preventScroll: true }); }
}

if (main.dataset.events) {
  const source = new EventSource(main.dataset.events);
  let wasOpen = false;
  source.addEventListener("open", () => {
    say("live", false);
    if (wasOpen) refreshSoon();  // what came while nobody listened
    wasOpen = true;
  });
  source.addEventListener("error", () => say("not live; trying again"));
  for (const kind of ["host", "instance", "drift", "drift_reset", "reset"]) source.addEventListener(kind, refreshSoon);
  setInterval(refreshSoon, ANYHOW_MS);
}

// ---- search ----

const TYPING_MS = 120;
let typing = null;
let asked = 0;

// The server searches all that there is, not only what is on the page; the field stays as it is.
async function searchNow(form) {
  const number = ++asked;
  const address = new URL(form.action);
  address.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  try {
    const answer = await fetch(address, { cache: "no-store", redirect: "manual" });
    const text = await answer.text();
    if (!answer.ok || number !== asked) return;
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
    const after = fresh.querySelector("form[data-instant]");
    while (form.nextSibling) form.nextSibling.remove();
    while (after.nextSibling) form.parentNode.append(document.adoptNode(after.nextSibling));
    history.replaceState(null, "", address);
    say(form.parentNode.querySelector("caption").textContent, false);
  } catch {
    say("not up to date: no answer");
  }
}

main.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-instant]");
  if (!form) return;
  clearTimeout(typing);
  typing = setTimeout(() => searchNow(form), TYPING_MS);
});

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
main.addEventListener("focusin", (event) => { rove(event.target); mark(event.target); });
main.addEventListener("mouseover", (event) => mark(event.target));

// All that is the same guest's stands out.
function mark(target) {
  const tag = target.closest("[data-map] [data-guest]")?.dataset.guest;
  for (const tile of tiles()) tile.classList.toggle("same", tag !== undefined && tile.dataset.guest === tag);
}

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
