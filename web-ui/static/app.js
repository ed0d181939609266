// What a page does by itself: it stays fresh, shows logs as they grow, copies commands. Everything else works without it.
// Log lines arrive as runs of text with a class and are set as text nodes: no markup is ever made of them.
"use strict";

// The one place where text becomes markup: pages of this server, asked for by this page. The policy keeps it the only one.
const own = window.trustedTypes ? trustedTypes.createPolicy("slipway", { createHTML: (text) => text }) : { createHTML: (text) => text };

document.documentElement.classList.add("scripted");

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

// --- copying

function copyable(root) {
  for (const code of root.querySelectorAll("[data-copy]")) {
    if (code.nextElementSibling?.classList.contains("copy")) continue;
    const button = element("button", "copy", "copy");
    button.type = "button";
    button.setAttribute("aria-label", "Copy " + code.textContent);
    code.after(button);
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const code = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "copied";
  } catch {
    // Without permission the text is selected, ready to be copied by hand.
    getSelection().selectAllChildren(code);
    button.textContent = "selected";
  }
  setTimeout(() => { button.textContent = "copy"; }, 1500);
});

// --- times

const UNITS = [[10, () => "just now"], [60, (s) => s + " s ago"], [3600, (s) => Math.floor(s / 60) + " min ago"], [86400, (s) => Math.floor(s / 3600) + " h ago"]];

function tick() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const passed = Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000);
    const unit = UNITS.find(([limit]) => passed < limit);
    if (unit) {
      const text = unit[1](passed);
      if (text !== time.textContent) time.textContent = text;
    }
  }
}
setInterval(tick, 10000);

// --- streams: open while the page is seen only, because a browser has few connections to one server

function whileSeen(open) {
  let source = null;
  const turn = () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source) {
      source = open();
    }
  };
  document.addEventListener("visibilitychange", turn);
  addEventListener("pagehide", () => { source?.close(); source = null; });
  addEventListener("pageshow", turn);
  turn();
  return () => { document.removeEventListener("visibilitychange", turn); removeEventListener("pageshow", turn); source?.close(); };
}

// --- pages that stay fresh

const main = document.querySelector("main[data-live]");

async function refresh() {
  const response = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!response.ok || response.redirected) return location.reload();
  const fresh = new DOMParser().parseFromString(own.createHTML(await response.text()), "text/html");
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.getElementById(part.id);
    if (!next) continue;
    copyable(next);
    if (next.isEqualNode(part)) continue;
    // Somebody is typing here: their words are worth more than fresh ones.
    const typing = part.querySelector("input:focus, textarea:focus");
    if (typing && typing.value !== typing.defaultValue) continue;
    for (const open of part.querySelectorAll("details[open][id]")) {
      const same = next.querySelector("#" + CSS.escape(open.id));
      if (same) same.open = true;
    }
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.replaceWith(next);
    if (focused) document.getElementById(focused)?.focus();
  }
  main.dataset.mark = fresh.querySelector("main")?.dataset.mark ?? "";
  filterApps();
}

if (main) {
  let running = null;
  whileSeen(() => {
    const source = new EventSource(main.dataset.live);
    source.addEventListener("mark", (event) => {
      if (event.data === main.dataset.mark || running) return;
      running = refresh().finally(() => { running = null; });
    });
    return source;
  });
  // What was just done has been read by then.
  if (location.search.includes("said=")) history.replaceState(null, "", location.pathname);
}

// --- the filter of the apps

const search = document.querySelector(".search input");

function filterApps() {
  if (!search) return;
  const wanted = search.value.trim().toLowerCase();
  for (const row of document.querySelectorAll(".app-row")) row.hidden = !row.dataset.name.includes(wanted);
  for (const tenant of document.querySelectorAll(".tenant")) tenant.hidden = !tenant.querySelector(".app-row:not([hidden])");
}
search?.addEventListener("input", filterApps);

document.addEventListener("keydown", (event) => {
  const field = document.querySelector("[data-slash]");
  if (event.key === "/" && field && !event.target.closest("input, textarea, select") && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    field.focus();
  }
  if (event.key === "Escape" && event.target === field) {
    field.value = "";
    field.dispatchEvent(new Event("input"));
    field.blur();
  }
});

// --- logs

const KEPT = 6000;

for (const log of document.querySelectorAll(".log")) {
  const frame = log.closest(".log-frame");
  const status = frame.querySelector(".log-status");
  const filter = frame.querySelector("[data-log-filter]");
  const pause = frame.querySelector("[data-log-pause]");
  const waiting = [];
  let paused = false;
  let drawing = false;
  let atEnd = true;

  const fits = (row) => !filter?.value || row.textContent.toLowerCase().includes(filter.value.toLowerCase());

  const draw = () => {
    drawing = false;
    if (paused) return;
    const rows = document.createDocumentFragment();
    for (const line of waiting.splice(0, waiting.length).slice(-KEPT)) {
      const row = element("div", ("l " + line.k).trim());
      for (const [name, text] of line.r) row.append(name ? element("span", name, text) : text);
      row.hidden = !fits(row);
      rows.append(row);
    }
    if (rows.childNodes.length) frame.querySelector("[data-empty]")?.remove();
    log.append(rows);
    const over = log.childElementCount - KEPT;
    if (over > 0) {
      const range = document.createRange();
      range.setStartBefore(log.firstElementChild);
      range.setEndAfter(log.children[over - 1]);
      range.deleteContents();
    }
    if (atEnd) log.scrollTop = log.scrollHeight;
  };

  const schedule = () => {
    if (!drawing && !paused) {
      drawing = true;
      requestAnimationFrame(draw);
    }
  };

  log.addEventListener("scroll", () => { atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40; }, { passive: true });
  log.scrollTop = log.scrollHeight;

  filter?.addEventListener("input", () => {
    for (const row of log.children) row.hidden = !fits(row);
    log.scrollTop = log.scrollHeight;
  });
  pause?.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
    schedule();
  });

  if (!log.dataset.stream) continue;
  let ended = false;
  const say = (text, name) => { status.textContent = text; status.className = "log-status " + name; };
  const stop = whileSeen(() => {
    if (ended) return null;
    // A new stream begins at its start.
    log.replaceChildren();
    waiting.length = 0;
    const source = new EventSource(log.dataset.stream);
    source.onopen = () => {
      say("live", "on");
      // A log of instances has no place to go on from: its last lines come again.
      if (log.dataset.again !== undefined) { log.replaceChildren(); waiting.length = 0; }
    };
    source.onerror = () => say(source.readyState === EventSource.CLOSED ? "ended" : "reconnecting", "");
    source.onmessage = (event) => {
      waiting.push(...JSON.parse(event.data));
      if (waiting.length > KEPT) waiting.splice(0, waiting.length - KEPT);
      schedule();
    };
    source.addEventListener("end", (event) => {
      ended = true;
      source.close();
      say("", "");
      const end = JSON.parse(event.data);
      if (!end.state) return;
      // The whole page knows more now: its release, or why it failed.
      draw();
      const chip = document.querySelector("#state .state");
      if (chip) { chip.textContent = end.state; chip.className = "state " + end.class; }
      location.reload();
    });
    return source;
  });
  addEventListener("pagehide", stop);
}

copyable(document);
tick();
