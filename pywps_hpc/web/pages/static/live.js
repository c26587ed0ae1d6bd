// Keeps a page up to date: asks for it again while something may change, less often while nothing
// does, and replaces the parts that differ.
"use strict";
(() => {
  const SOON = 2000, LATE = 30000, SLOWER = 1.5;
  let pause = SOON, timer = 0;

  function replace(old, fresh) {
    const focused = document.activeElement;
    const name = old.contains(focused) ? focused.textContent : "";
    const log = old.querySelector("[data-tail]");
    const follows = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    const top = log ? log.scrollTop : 0;
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    old.replaceWith(fresh);
    [...fresh.querySelectorAll("details")].forEach((one, at) => { one.open = !!open[at]; });
    const tail = fresh.querySelector("[data-tail]");
    if (tail) tail.scrollTop = follows ? tail.scrollHeight : top;
    if (name) {
      const same = [...fresh.querySelectorAll("a, button, summary, pre")];
      (same.find((one) => one.textContent === name) || tail || document.getElementById("main")).focus(
        { preventScroll: true });
    }
  }

  async function look() {
    let goes = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        let changed = false;
        for (const old of document.querySelectorAll("[data-part]")) {
          const now = fresh.getElementById(old.id);
          if (now && now.innerHTML + now.className !== old.dataset.seen) {
            if (old.dataset.seen !== undefined || now.innerHTML !== old.innerHTML) {
              const node = document.adoptNode(now);
              const seen = node.innerHTML + node.className;
              replace(old, node);
              node.dataset.seen = seen;
              changed = true;
            }
          }
        }
        document.title = fresh.title;
        goes = !!fresh.querySelector("script[src$='live.js']");
        pause = changed ? SOON : Math.min(LATE, pause * SLOWER);
      } else if (answer.status === 404 || answer.status === 410) {
        location.reload();
        return;
      } else {
        pause = Math.min(LATE, Math.max(pause * 2, 1000 * Number(answer.headers.get("Retry-After"))));
      }
    } catch {
      pause = Math.min(LATE, pause * 2);
    }
    if (goes) wait();
  }

  function wait() {
    clearTimeout(timer);
    timer = setTimeout(() => (document.hidden ? wait() : look()), pause);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && timer) { pause = SOON; wait(); }
  });
  for (const log of document.querySelectorAll("[data-tail]")) log.scrollTop = log.scrollHeight;
  wait();
})();
