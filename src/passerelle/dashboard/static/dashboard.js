/* What a page gains by a script; each works without it. Nothing is asked of anybody but this gateway. */
"use strict";
(() => {
  const body = document.body;
  const here = body.dataset.here;
  const clocks = new WeakMap();
  const seen = new WeakMap();

  /* Bring `old` to the state of `fresh` with as few changes as can be: focus, open details and typed text stay. */
  function bring(old, fresh) {
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !kept(old, name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !kept(old, name)) old.setAttribute(name, value);
    }
    bringChildren(old, fresh);
  }

  function kept(node, name) {
    return (node.localName === "details" && name === "open") || (node.localName === "button" && name === "hidden");
  }

  function bringChildren(old, fresh) {
    const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    let place = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const same = child.id ? named.get(child.id) : place && !place.id && place.nodeName === child.nodeName && place;
      if (!same) {
        old.insertBefore(document.importNode(child, true), place);
        continue;
      }
      if (same !== place) old.insertBefore(same, place);
      else place = place.nextSibling;
      if (same.nodeType === Node.ELEMENT_NODE) bring(same, child);
      else if (same.data !== child.data) same.data = child.data;
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  /* Times in the reader's own zone. */
  const format = new Intl.DateTimeFormat(document.documentElement.lang, {
    day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
  const hour = new Intl.DateTimeFormat(document.documentElement.lang, { weekday: "short", hour: "2-digit", minute: "2-digit" });
  function tidy(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const text = ("hour" in time.dataset ? hour : format).format(new Date(time.dateTime));
      if (time.textContent !== text) time.textContent = text;
    }
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
    for (const input of root.querySelectorAll("[data-zone]")) input.value = String(-new Date().getTimezoneOffset());
    for (const hint of root.querySelectorAll("[data-own]")) hint.textContent = hint.dataset.own;
  }

  /* Show what is marked as live in `html` as it stands there. */
  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    document.getElementById("offline").hidden = true;
    tidy(fresh);
    for (const part of document.querySelectorAll("[data-live]")) {
      const newer = fresh.getElementById(part.id);
      if (newer) bring(part, newer);
    }
    scroll();
    return fresh;
  }

  /* What is said last in a chat is seen, unless somebody has scrolled up. */
  function scroll() {
    for (const chat of document.querySelectorAll(".chat")) {
      const last = chat.lastElementChild?.id;
      if (seen.get(chat) !== last) chat.scrollTop = chat.scrollHeight;
      seen.set(chat, last);
    }
  }

  /* What keeps the page from being fresh stands at its head, said once, and goes by itself. */
  function tell(fresh, ok) {
    const notice = document.getElementById("notice");
    const news = ok ? null : fresh.getElementById("notice");
    if (news ? notice.textContent === news.textContent : !("stale" in notice.dataset)) return;
    notice.replaceChildren(...(news ? news.childNodes : []));
    notice.toggleAttribute("data-stale", !ok);
  }

  /* Ask for this page again; only what is marked as live changes. */
  let asking = false;
  async function refresh() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const answer = await fetch(here, { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (answer.redirected) {
        location.reload();
        return;
      }
      const fresh = show(await answer.text());
      tell(fresh, answer.ok);
      const came = fresh.body.dataset;
      if (body.dataset.every && !came.every) delete body.dataset.every;
      if (document.getElementById("trouble") && !fresh.getElementById("trouble")) location.reload();
    } catch {
      document.getElementById("offline").hidden = false;
    } finally {
      asking = false;
    }
  }
  function again() {
    if (!body.dataset.every) return;
    setTimeout(async () => {
      await refresh();
      again();
    }, 1000 * Number(body.dataset.every));
  }

  if (body.dataset.events) {
    const stream = new EventSource(body.dataset.events);
    stream.addEventListener("changed", async () => {
      await refresh();
      if (!body.dataset.every) stream.close();
    });
    addEventListener("pagehide", () => stream.close());
  }

  /* The ring around the time that is left. */
  function countDown() {
    for (const box of document.querySelectorAll("[data-left]")) {
      let known = clocks.get(box);
      if (!known || known.left !== box.dataset.left) {
        known = { left: box.dataset.left, until: performance.now() + 1000 * Number(box.dataset.left) };
        clocks.set(box, known);
      }
      const left = Math.max(0, (known.until - performance.now()) / 1000);
      const whole = Math.ceil(left);
      const text = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
      const clock = box.querySelector("[data-clock]");
      if (clock.textContent !== text) clock.textContent = text;
      box.querySelector(".ring-left").setAttribute("stroke-dashoffset", String(100 - (100 * left) / Number(box.dataset.life)));
      box.classList.toggle("ring-low", left < 20);
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const label = button.dataset.label || button.textContent;
    button.dataset.label = label;
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
    } catch {
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = label; }, 2000);
  });
  /* A form that changes only what is live is sent without leaving the page. */
  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-quiet]");
    if (!form) return;
    event.preventDefault();
    const data = new URLSearchParams(new FormData(form, event.submitter));
    try {
      const answer = await fetch(form.action, { method: "POST", body: data });
      const fresh = show(await answer.text());
      const notice = document.getElementById("notice");
      notice.replaceChildren(...fresh.getElementById("notice").childNodes);
      if (answer.ok) form.reset();
      else notice.scrollIntoView({ block: "center" });
    } catch {
      document.getElementById("offline").hidden = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && location.hash === "#menu") location.hash = "#content";
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && body.dataset.every) refresh(); });

  tidy(document);
  scroll();
  document.getElementById("problem")?.focus();
  if (document.querySelector("[data-left]") || body.dataset.events) {
    countDown();
    setInterval(countDown, 250);
  }
  again();
})();
