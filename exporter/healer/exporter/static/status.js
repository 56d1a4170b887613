// Keeps the status page up to date: by events, else by polling. Without it, the page reloads itself.
"use strict";

const POLL_MS = 5000;
const SILENT_MS = 6000; // events come every second; after so long without one, what is shown may be wrong
const RETRY_EVENTS_MS = 60000;
const NEWS_MS = 5000;

const $ = (id) => document.getElementById(id);
const body = $("rows");
const states = [...$("counts").children].map((item) => item.dataset.state);
const classes = [...$("counts").children].map((item) => item.className);
const rank = new Map(states.map((state, index) => [state, index]));

const rows = new Map(); // by service: {tr, data, text, visible}
let stale = new Set(); // rows that the snapshot under way has not confirmed yet
let ahead = 0; // what to add to our clock for the exporter's, in ms
let heardAt = 0; // by performance.now(), when the exporter last answered
let source = null;
let timer = 0;
let mode = "starting";
let counted = "";

const eye = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const row = entry.target.row;
    row.visible = entry.isIntersecting;
    if (row.visible) paintAge(row);
  }
}, { rootMargin: "200px" });

function span(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} m`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function build(svc) {
  const tr = $("row").content.firstElementChild.cloneNode(true);
  tr.dataset.svc = svc;
  return tr;
}

function adopt(tr) {
  const row = { tr, data: null, text: "", visible: false };
  const pick = (name) => tr.querySelector(name);
  Object.assign(row, { name: pick(".name"), bus: pick(".bus"), state: pick(".state") });
  Object.assign(row, { fill: pick("rect"), ago: pick(".ago"), limit: pick(".limit") });
  tr.row = row;
  rows.set(tr.dataset.svc, row);
  eye.observe(tr);
  return row;
}

function now() {
  return (Date.now() + ahead) / 1000;
}

function paintAge(row) {
  const { last, timeout } = row.data || {};
  if (timeout === undefined) return;
  const age = last === null ? null : Math.max(0, now() - last);
  const share = age === null ? Number(row.data.state === "never heard") : Math.min(1, age / timeout);
  row.fill.setAttribute("width", `${(100 * share).toFixed(1)}%`);
  row.ago.textContent = age === null ? "none yet" : `${span(age)} ago`;
}

function paint(row, data) {
  row.data = data;
  row.name.textContent = data.svc;
  row.bus.textContent = data.bus;
  row.state.textContent = data.state;
  row.limit.textContent = data.timeout < 60 ? `${data.timeout} s` : span(data.timeout);
  row.tr.className = classes[rank.get(data.state)];
  row.text = `${data.svc} ${data.bus} ${data.state}`.toLowerCase();
  paintAge(row);
}

function take(changed, gone) {
  const moved = [];
  for (const data of changed) {
    let row = rows.get(data.svc);
    if (!row) row = adopt(build(data.svc));
    if (!row.data || row.data.state !== data.state || !row.tr.isConnected) moved.push(row);
    paint(row, data);
    stale.delete(data.svc);
  }
  for (const svc of gone) drop(svc);
  if (moved.length) place(moved);
  if (moved.length || gone.length) filter();
}

function drop(svc) {
  const row = rows.get(svc);
  if (!row) return;
  eye.unobserve(row.tr);
  row.tr.remove();
  rows.delete(svc);
}

function before(a, b) {
  const byState = rank.get(a.data.state) - rank.get(b.data.state);
  if (byState) return byState;
  return a.data.svc < b.data.svc ? -1 : 1;
}

// Only rows whose state changed move: the others are in order already.
function place(moved) {
  for (const row of moved) row.tr.remove();
  const order = [...rows.values()].filter((row) => row.data).sort(before);
  let next = body.firstElementChild;
  for (const row of order) {
    if (row.tr === next) next = next.nextElementSibling;
    else body.insertBefore(row.tr, next);
  }
}

function filter() {
  const wanted = $("filter").value.trim().toLowerCase();
  let shown = 0;
  for (const row of rows.values()) {
    const hit = row.text.includes(wanted);
    if (row.tr.hidden === hit) row.tr.hidden = !hit;
    if (hit) shown += 1;
  }
  $("none").hidden = shown > 0;
  $("shown").textContent = wanted ? `${shown} of ${rows.size} shown` : "";
}

function paintHead(head) {
  ahead = head.at * 1000 - Date.now();
  heardAt = performance.now();
  for (const item of $("counts").children) {
    const count = head.counts[item.dataset.state] || 0;
    const number = item.firstElementChild;
    if (number.textContent !== String(count)) number.textContent = count;
    item.toggleAttribute("data-none", !count);
  }
  const worst = states.find((state) => head.counts[state] && state !== "beating");
  document.title = `${worst ? `${head.counts[worst]} ${worst}` : "all beating"} · Healer exporter`;
  counted = states.filter((state) => head.counts[state]).map((state) => `${head.counts[state]} ${state}`).join(", ");
  paintBuses(head.buses);
  $("truth").textContent = head.truth.sha256.slice(0, 12) || "none yet";
  $("refused").hidden = head.truth.newest || !head.truth.sha256;
}

let busesShown = "";
function paintBuses(buses) {
  const text = JSON.stringify(buses.map(({ loopback, ...rest }) => rest));
  if (text === busesShown) return;
  busesShown = text;
  $("buses").replaceChildren(...buses.map((bus) => {
    const item = element("li", bus.hearing ? "hearing" : "deaf", "");
    const more = `services ${bus.services}, reconnects ${bus.reconnects}`;
    item.append(element("b", "", bus.name), " ");
    item.append(element("span", "word", bus.hearing ? "hearing" : "not hearing"), " ");
    item.append(element("span", "more", more));
    return item;
  }));
}

function say(text, lost) {
  const live = $("live");
  if (live.textContent !== text) live.textContent = text;
  live.classList.toggle("lost", lost);
}

function tick() {
  if (mode === "paused") return;
  const silent = heardAt && performance.now() - heardAt > (mode === "polling" ? POLL_MS : 0) + SILENT_MS;
  if (silent) {
    // Ages stay as they are: to count on would call services late that nobody has looked at.
    const when = new Date(Date.now() - (performance.now() - heardAt)).toLocaleTimeString();
    say(`no answer since ${when}: what is shown is old`, true);
    return;
  }
  if (!heardAt) return;
  say(mode === "polling" ? `renewed every ${POLL_MS / 1000} s` : "live", false);
  for (const row of rows.values()) if (row.visible) paintAge(row);
}

function begin(head) {
  stale = new Set(rows.keys());
  paintHead(head);
}

function complete() {
  for (const svc of stale) drop(svc);
  stale.clear();
  filter();
}

function listen() {
  mode = "live";
  source = new EventSource("status/events");
  source.addEventListener("snapshot", (event) => begin(JSON.parse(event.data).head));
  source.addEventListener("delta", (event) => {
    const { head, rows: changed, gone } = JSON.parse(event.data);
    paintHead(head);
    take(changed, gone);
  });
  source.addEventListener("complete", complete);
  source.onerror = () => {
    // Otherwise the browser tries again by itself.
    if (source && source.readyState === EventSource.CLOSED) {
      stop();
      mode = "polling";
      poll();
      timer = setInterval(poll, POLL_MS);
      setTimeout(() => mode === "polling" && (stop(), listen()), RETRY_EVENTS_MS);
    }
  };
}

async function poll() {
  try {
    const answer = await fetch("status.json", { cache: "no-store" });
    if (!answer.ok) return;
    const { rows: all, ...head } = await answer.json();
    begin(head);
    take(all, []);
    complete();
  } catch {
    // tick() says for how long nobody has answered
  }
}

function stop() {
  clearInterval(timer);
  if (source) source.close();
  source = null;
}

$("pause").addEventListener("click", () => {
  if (mode === "paused") {
    $("pause").textContent = "Pause";
    heardAt = 0;
    say("starting again", false);
    listen();
  } else {
    stop();
    mode = "paused";
    $("pause").textContent = "Go on";
    say(`paused at ${new Date().toLocaleTimeString()}`, false);
  }
});
$("filter").addEventListener("input", filter);
$("tools").addEventListener("submit", (event) => event.preventDefault());

for (const tr of body.children) {
  const row = adopt(tr);
  row.text = tr.textContent.toLowerCase();
}
for (const id of ["pause", "tools"]) $(id).hidden = false;
say("connecting", false);
setInterval(tick, 1000);
setInterval(() => {
  // For screen readers: what changed, at most every few seconds.
  if (mode !== "paused" && $("news").textContent !== counted) $("news").textContent = counted;
}, NEWS_MS);
listen();
