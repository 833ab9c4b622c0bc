// Keeps an open page up to date. Without it the pages work; they then show what was there when they were opened.
"use strict";

const address = document.body.dataset.live;

// A part in which somebody writes, or has marked something, stays as it is until the next word.
const isInUse = (part) => {
  const marked = document.getSelection();
  const hasMarked = marked !== null && !marked.isCollapsed && part.contains(marked.anchorNode);
  const at = document.activeElement;
  return hasMarked || (at !== null && at !== document.body && part.contains(at));
};

const renew = async () => {
  const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
  if (answer.status === 401) {
    location.reload();
    return;
  }
  if (!answer.ok) {
    return;
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.getElementById(part.id);
    if (next !== null && next.innerHTML !== part.innerHTML && !isInUse(part)) {
      const open = [...part.querySelectorAll("details")].map((one) => one.open);
      part.replaceWith(next);
      next.querySelectorAll("details").forEach((one, at) => { one.open = open[at] === true; });
    }
  }
  document.body.dataset.renewed = String(Number(document.body.dataset.renewed ?? 0) + 1);
};

if (address !== undefined) {
  let waits = false;
  const words = new EventSource(address);
  words.addEventListener("change", () => {
    if (waits || document.hidden) {
      return;
    }
    waits = true;
    setTimeout(() => { waits = false; renew().catch(() => {}); }, 500);
  });
  words.addEventListener("over", () => { words.close(); location.reload(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { renew().catch(() => {}); } });
}
