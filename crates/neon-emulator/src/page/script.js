// Refreshes the changed parts of the page every second. Without the script, the browser reloads the
// page.
"use strict";
const EVERY_MS = 1000;
const ANSWER_MS_MAX = 5000;
const parts = document.getElementById("parts");
const connection = document.getElementById("connection");
const pause = document.getElementById("pause");
const policy = globalThis.trustedTypes?.createPolicy("parts", { createHTML: (text) => text });
let paused = false;

function tell(text, look) {
  if (connection.textContent !== text) connection.textContent = text;
  connection.className = look;
}

// Keeps the scroll position and the focus of a replaced part.
function replace(before, after) {
  const region = before.querySelector("[tabindex]");
  const place = region && [region.scrollLeft, region.scrollTop, document.activeElement === region];
  before.replaceWith(after);
  const again = after.querySelector("[tabindex]");
  if (!place || !again) return;
  [again.scrollLeft, again.scrollTop] = place;
  if (place[2]) again.focus({ preventScroll: true });
}

function take(text) {
  const fresh = new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "text/html");
  const names = (root) => [...root.querySelectorAll("section[id]")].map((part) => part.id);
  // If the set of parts has changed, all of them are replaced.
  if (String(names(parts)) !== String(names(fresh))) return parts.replaceChildren(...fresh.body.childNodes);
  for (const name of names(fresh)) {
    const [before, after] = [document, fresh].map((root) => root.getElementById(name));
    if (before.outerHTML !== after.outerHTML && !holdsSelection(before)) replace(before, after);
  }
}

// A part with selected text is not replaced, so that the text can be copied.
function holdsSelection(part) {
  const selection = getSelection();
  return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
}

async function look() {
  if (!paused && !document.hidden) {
    try {
      const answer = await fetch("/_page/parts", { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
      if (!answer.ok) throw new Error(answer.status);
      const text = await answer.text();
      if (!paused) {
        take(text);
        tell("Live", "good");
      }
    } catch {
      tell("Not connected", "bad");
    }
  }
  setTimeout(look, EVERY_MS);
}

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Resume" : "Pause";
  if (paused) tell("Paused", "idle");
});
look();
