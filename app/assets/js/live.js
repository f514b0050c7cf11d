// Live updates: pauses them while the page is hidden, shows the text of an answer as it is written, and says when the
// connection is lost.
"use strict";

(() => {
  const PAUSE_AFTER_MS = 5_000;

  // Updates are received only while the page is visible: over HTTP/1.1, browsers allow six connections to a server, and
  // each tab would hold one. Every stream starts with the current state, so nothing is missed.
  htmx.createEventSource = (url) => {
    const listeners = [];
    let inner = null;
    let isClosed = false;
    let timer;
    const source = {
      onopen: null,
      onerror: null,
      get readyState() { return isClosed ? EventSource.CLOSED : inner?.readyState ?? EventSource.CONNECTING; },
      addEventListener(name, listener) {
        listeners.push([name, listener]);
        inner?.addEventListener(name, listener);
      },
      removeEventListener(name, listener) {
        const at = listeners.findIndex(([otherName, other]) => otherName === name && other === listener);
        if (at >= 0) listeners.splice(at, 1);
        inner?.removeEventListener(name, listener);
      },
      close() {
        isClosed = true;
        clearTimeout(timer);
        document.removeEventListener("visibilitychange", update);
        inner?.close();
      },
    };
    const connect = () => {
      inner = new EventSource(url);
      inner.onopen = (event) => source.onopen?.(event);
      inner.onerror = (event) => {
        // The extension then creates another source.
        if (inner?.readyState === EventSource.CLOSED) source.close();
        source.onerror?.(event);
      };
      for (const [name, listener] of listeners) inner.addEventListener(name, listener);
    };
    const update = () => {
      clearTimeout(timer);
      if (document.hidden) {
        timer = setTimeout(() => {
          inner?.close();
          inner = null;
        }, PAUSE_AFTER_MS);
      } else if (!inner) {
        connect();
      }
    };
    document.addEventListener("visibilitychange", update);
    if (!document.hidden) connect();
    return source;
  };

  // Shows a message while live updates are interrupted.
  const connection = document.getElementById("connection");
  document.addEventListener("htmx:sseError", () => { connection.hidden = false; });
  document.addEventListener("htmx:sseOpen", () => { connection.hidden = true; });
  document.addEventListener("htmx:sseMessage", () => { connection.hidden = true; });

  // The text of an answer: each event carries how much of the HTML stays, and what follows it. Only
  // the elements that changed are replaced, so that selected text stays selected.
  const streamed = new WeakMap();
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    const { type, data } = event.detail;
    if (type !== "text") return;
    event.preventDefault();
    const colon = data.indexOf(":");
    const html = (streamed.get(event.target) ?? "").slice(0, Number(data.slice(0, colon))) + data.slice(colon + 1);
    streamed.set(event.target, html);
    const template = document.createElement("template");
    template.innerHTML = html;
    const [shown, next] = [[...event.target.childNodes], [...template.content.childNodes]];
    let same = 0;
    while (same < shown.length && same < next.length && shown[same].isEqualNode(next[same])) same += 1;
    for (const node of shown.slice(same)) node.remove();
    event.target.append(...next.slice(same));
    connection.hidden = true;
  });
})();
