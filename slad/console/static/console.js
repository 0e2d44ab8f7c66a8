// What the pages do beyond what they say: they count down, stay up to date, copy. Without this they work too.
"use strict";

(() => {
  const SECOND = 1000;

  const cookie = (name) =>
    document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);

  // Only a script knows the reader's time zone. It is told once, and the page is asked for again.
  const tellZone = () => {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (!/^[\w/+-]+$/.test(zone ?? "") || cookie("slad_zone") === zone) return;
    document.cookie = `slad_zone=${zone}; path=/; SameSite=Strict`;
    if (cookie("slad_zone") === zone) location.reload();
  };

  // --- counting down

  let ahead = 0; // of the daemon's clock before the browser's, in ms

  const readClock = () => {
    const told = document.querySelector("[data-now]");
    if (told) ahead = Number(told.dataset.now) - Date.now();
  };

  const left = (ms) => {
    const seconds = Math.max(0, Math.ceil(ms / SECOND));
    const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    const two = (n) => String(n).padStart(2, "0");
    if (h >= 48) return `${Math.floor(h / 24)} d ${h % 24} h`;
    return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  };

  const countDown = () => {
    const told = document.querySelector("[data-now]");
    if (!told || told.dataset.virtual) return; // virtual time stands still until the daemon says otherwise
    for (const element of document.querySelectorAll("time.countdown")) {
      const ms = Number(element.dataset.at) - Date.now() - ahead;
      element.textContent = ms > 0 ? `in ${left(ms)}` : "now";
    }
  };

  // --- staying up to date

  const say = (text) => {
    const status = document.getElementById("connection");
    if (status && status.textContent !== text) status.textContent = text;
  };

  const swap = (live, html) => {
    const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
    const opened = [...live.querySelectorAll("details[open][id]")].map((details) => details.id);
    const scrolled = live.querySelector(".picture")?.scrollLeft ?? 0;
    live.innerHTML = html;
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    const picture = live.querySelector(".picture");
    if (picture) picture.scrollLeft = scrolled;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    readClock();
    dress();
    countDown();
  };

  // A page that nobody sees gives its connection back: a browser has six for each host.
  const follow = (live) => {
    let source = null;
    const open = () => {
      source = new EventSource(live.dataset.stream);
      source.addEventListener("open", () => say("Live."));
      source.addEventListener("part", (event) => {
        say("Live.");
        swap(live, event.data);
      });
      source.addEventListener("error", () => {
        const isOver = source.readyState === EventSource.CLOSED;
        say(isOver ? "Not live any more: reload the page." : "The connection was lost; it is tried again.");
      });
    };
    document.addEventListener("visibilitychange", () => {
      source?.close();
      if (!document.hidden) open();
    });
    open();
  };

  // --- copying

  const dress = () => {
    for (const code of document.querySelectorAll("code.command:not([data-dressed])")) {
      code.dataset.dressed = "yes";
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "copy";
      button.setAttribute("aria-label", `copy the command ${code.textContent.slice(0, 40)}`);
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(code.textContent);
          button.textContent = "copied";
        } catch {
          getSelection().selectAllChildren(code);
          button.textContent = "selected";
        }
        setTimeout(() => { button.textContent = "copy"; }, 2 * SECOND);
      });
      code.after(button);
    }
  };

  tellZone();
  readClock();
  dress();
  countDown();
  setInterval(countDown, SECOND);
  const live = document.getElementById("live");
  if (live?.dataset.stream) follow(live);

  // "/" goes to the search, as on most pages that have one.
  document.addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    document.getElementById("q")?.focus();
  });
})();
