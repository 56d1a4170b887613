// Shows what /events and / say. Text from outside only ever becomes a text node.
"use strict";

const MOST = 500;
const POLL_SECONDS = 5;
const byId = (id) => document.getElementById(id);
const BAD = ["action_fail", "action_interrupted", "not_healed", "breaker_open"];
const GOOD = ["action_ok", "healed"];
const DOUBT = ["action_dry_run", "action_start", "action_cancelled"];

let lastSeq = 0;
let source = null;
let polling = null;
let targets = [];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function tone(kind) {
  return BAD.includes(kind) ? "bad" : GOOD.includes(kind) ? "good" : DOUBT.includes(kind) ? "doubt" : "";
}

function words(event) {
  const left = [];
  if (event.alertname) left.push(event.alertname);
  if (event.action) left.push(`${event.action} on ${event.target}`);
  if (event.reason) left.push(`${event.reason}: ${event.detail || ""}`);
  else if (event.detail) left.push(event.detail);
  if (event.cmd) left.push(event.cmd.join(" "));
  if (event.error) left.push(event.error);
  if (event.after_sec !== undefined) left.push(`after ${event.after_sec} s`);
  if (event.survivors) left.push(`still running: ${event.survivors.join(", ")}`);
  if (event.principal) left.push(`by ${event.principal}`);
  return left.join(" · ");
}

function show(event) {
  if (event.seq <= lastSeq) return;
  lastSeq = event.seq;
  const row = element("li");
  const time = element("time", new Date(event.ts * 1000).toLocaleTimeString());
  time.dateTime = new Date(event.ts * 1000).toISOString();
  row.append(time, element("b", event.kind, tone(event.kind)), element("span", words(event)));
  const list = byId("events");
  list.prepend(row);
  while (list.childElementCount > MOST) list.lastElementChild.remove();
}

function query(more) {
  const asked = new URLSearchParams(more);
  for (const [name, value] of new FormData(byId("filter"))) if (value) asked.set(name, value);
  return asked;
}

function say(text, className) {
  byId("link").textContent = text;
  byId("link").className = className;
}

async function poll() {
  try {
    const answer = await fetch(`audit?${query({ n: "200" })}`);
    if (!answer.ok) throw new Error(answer.status);
    (await answer.json()).forEach(show);
    if (polling) say("polling", "doubt");
  } catch {
    say("no connection", "bad");
  }
}

function listen() {
  if (source) source.close();
  source = new EventSource(`events?${query(lastSeq ? { last_id: String(lastSeq) } : {})}`);
  source.onopen = () => {
    say("live", "good");
    clearInterval(polling);
    polling = null;
    poll();
  };
  source.onmessage = (message) => show(JSON.parse(message.data));
  source.onerror = () => {
    say("connection lost, trying again", "bad");
    if (!polling) polling = setInterval(poll, POLL_SECONDS * 1000);
    // A browser gives up for good when it was refused; then it is on us.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, POLL_SECONDS * 1000);
  };
}

function clock(seconds) {
  if (seconds <= 0) return "ready";
  const left = Math.ceil(seconds);
  return left < 60 ? `${left} s` : `${Math.floor(left / 60)} min ${left % 60} s`;
}

function draw() {
  const age = (Date.now() - (draw.at || Date.now())) / 1000;
  byId("targets").replaceChildren(
    ...targets.map((target) => {
      const row = element("tr");
      const state = target.in_flight ? "running" : target.verifying ? "verifying" : target.healthy ? "healthy" : "";
      row.append(
        element("td", target.target), element("td", target.action),
        element("td", clock(target.cooldown_sec - age)), element("td", clock(target.backoff_sec - age)),
        element("td", String(target.attempts)), element("td", state),
      );
      return row;
    }),
  );
}

function fact(text, className) {
  return element("li", text, className);
}

async function refresh() {
  try {
    const answer = await fetch("./", { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.status);
    const now = await answer.json();
    const watchdog = now.watchdog_age_sec;
    byId("state").replaceChildren(
      now.enabled ? fact("enabled", "good") : fact("disabled", "doubt"),
      now.dry_run ? fact("dry run", "doubt") : fact("live", "good"),
      now.kill_switch.on ? fact("kill switch ON", "bad") : fact("kill switch off"),
      now.breaker.open ? fact("breaker OPEN", "bad") : fact("breaker closed"),
      now.fault ? fact(now.fault, "bad") : fact("record writable"),
      watchdog === null ? fact("no Watchdog yet", "doubt") : fact(`Watchdog ${clock(watchdog)} ago`, watchdog > 120 ? "bad" : ""),
      fact(`${now.running} running, ${now.queue} waiting`),
    );
    byId("reset").hidden = !now.breaker.open;
    targets = now.targets;
    draw.at = Date.now();
    draw();
  } catch {
    byId("state").replaceChildren(fact("state unknown", "bad"));
  }
}

byId("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("events").replaceChildren();
  lastSeq = 0;
  listen();
});
byId("reset").addEventListener("click", async () => {
  const csrf = document.querySelector("meta[name=csrf]").content;
  const answer = await fetch("breaker/reset", { method: "POST", headers: { "X-CSRF-Token": csrf } });
  if (!answer.ok) say(await answer.text(), "bad");
  refresh();
});

poll().then(listen);
refresh();
setInterval(refresh, POLL_SECONDS * 1000);
setInterval(draw, 1000);
