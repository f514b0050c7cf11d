// Behavior that every page needs in addition to htmx: theme, menus, dialogs, single submission of
// forms, relative times. Pages work without it where possible. It is loaded deferred, so the
// document is complete when it runs.
"use strict";

(() => {
  const AGE_REFRESH_MS = 30_000;
  const ELAPSED_REFRESH_MS = 100;
  const COPIED_LABEL_MS = 2_000;
  const THEME_MAX_AGE_SECONDS = 365 * 24 * 60 * 60;
  // Within this distance from the end of the page, the view follows new text.
  const FOLLOW_DISTANCE_PX = 160;

  const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);

  /** Runs now, and for all content that htmx loads later. */
  const onContent = (act) => {
    act(document);
    document.addEventListener("htmx:load", (event) => act(event.detail.elt));
  };
  /** Matching elements below root, including root itself. */
  const within = (root, selector) => [
    ...(root instanceof Element && root.matches(selector) ? [root] : []),
    ...root.querySelectorAll(selector),
  ];

  // Announces its text to screen readers.
  const announcer = document.getElementById("announcer");

  // Theme. The server reads the cookie, so that pages have the right colours from the first paint.
  const root = document.documentElement;
  const showTheme = (theme) => {
    if (theme === "device") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
    document.querySelector('meta[name="color-scheme"]').content = theme === "device" ? "light dark" : theme;
    each("[data-theme-switch] button", (button) => button.setAttribute("aria-pressed", String(button.value === theme)));
  };
  each("[data-theme-switch]", (group) => {
    group.hidden = false;
    group.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const secure = location.protocol === "https:" ? "; Secure" : "";
      const age = button.value === "device" ? 0 : THEME_MAX_AGE_SECONDS;
      document.cookie = `theme=${button.value}; Path=/; Max-Age=${age}; SameSite=Lax${secure}`;
      showTheme(button.value);
    });
  });

  // Menus: only one is open at a time. Escape and a click elsewhere close it.
  const closeMenus = (except) => each("details[data-menu][open]", (menu) => { if (menu !== except) menu.open = false; });
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details[data-menu]")));
  document.addEventListener("focusin", (event) => closeMenus(event.target.closest("details[data-menu]")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details[data-menu][open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  // An open menu stays open when htmx replaces the element that contains it. htmx restores the
  // focus by id.
  let openMenu = "";
  document.addEventListener("toggle", (event) => {
    if (!event.target.matches("details[data-menu]")) return;
    const id = event.target.querySelector("summary").id;
    if (event.target.open) openMenu = id;
    else if (openMenu === id) openMenu = "";
  }, true);
  const reopen = () => {
    const menu = openMenu && document.getElementById(openMenu)?.closest("details");
    if (menu) menu.open = true;
  };
  document.addEventListener("htmx:afterSwap", reopen);
  document.addEventListener("htmx:oobAfterSwap", reopen);

  // Dialogs: one dialog serves all rows. The link that opens it provides the action and the texts
  // of its form.
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    const dialog = opener && document.getElementById(opener.dataset.dialog);
    if (!dialog || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    closeMenus();
    dialog.querySelector("form").action = opener.dataset.action;
    each("[data-slot]", (slot) => {
      const text = opener.dataset[slot.dataset.slot] ?? "";
      if (slot instanceof HTMLInputElement) slot.value = text;
      else slot.textContent = text;
    }, dialog);
    const returnFocusTo = opener.closest("details")?.querySelector("summary") ?? opener;
    dialog.addEventListener("close", () => returnFocusTo.isConnected && returnFocusTo.focus(), { once: true });
    dialog.showModal();
    dialog.querySelector("input[type=text]")?.select();
  });
  document.addEventListener("click", (event) => {
    // A click on the backdrop.
    if (event.target instanceof HTMLDialogElement) event.target.close();
  });

  // Opens and closes dialogs in browsers without the `command` attribute.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[commandfor]");
    if (!button || "command" in button) return;
    const dialog = document.getElementById(button.getAttribute("commandfor"));
    if (button.getAttribute("command") === "close") dialog?.close();
    else dialog?.showModal();
  });

  // Forms are submitted once, even if the button is clicked repeatedly. Returning to the page
  // enables them again.
  const enable = (form) => {
    delete form.dataset.sent;
    each('button[aria-busy="true"]', (button) => button.removeAttribute("aria-busy"), form);
  };
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !form.hasAttribute("data-once")) return;
    if (form.dataset.sent) { event.preventDefault(); event.stopImmediatePropagation(); return; }
    form.dataset.sent = "yes";
    (event.submitter ?? form.querySelector("button[type=submit]"))?.setAttribute("aria-busy", "true");
  }, true);
  document.addEventListener("htmx:afterRequest", (event) => { if (event.target instanceof HTMLFormElement) enable(event.target); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) each("form[data-sent]", enable); });

  // A deletion is submitted only if the typed text matches.
  onContent((part) => within(part, "[data-confirm]").forEach((input) => {
    const check = () => input.setCustomValidity(
      input.value.trim() === input.dataset.confirm.trim() ? "" : `Type \u201c${input.dataset.confirm}\u201d to confirm.`,
    );
    input.addEventListener("input", check);
    check();
  }));

  // Buttons that copy a link.
  onContent((part) => within(part, "[data-copy]").forEach((button) => {
    const field = document.getElementById(button.dataset.copy);
    const label = button.querySelector("span");
    const original = label.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      field.select();
      try {
        await navigator.clipboard.writeText(field.value);
        label.textContent = "Copied";
      } catch {
        label.textContent = "Press Ctrl+C";
      }
      setTimeout(() => { label.textContent = original; }, COPIED_LABEL_MS);
    });
  }));
  document.addEventListener("focusin", (event) => { if (event.target.matches?.("[data-select]")) event.target.select(); });

  // Buttons that need this script: they copy an answer, or put a question into the question field.
  onContent((part) => within(part, "[data-copy-url], [data-edit-question]").forEach((button) => { button.hidden = false; }));
  const load = async (url) => {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`status ${response.status}`);
    return new Blob([await response.text()], { type: "text/plain" });
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy-url]");
    if (!button || button.dataset.copying) return;
    button.dataset.copying = "yes";
    const label = button.querySelector("span");
    const original = label.textContent;
    try {
      // The browser allows it only while it handles the click, so it gets the promise.
      await navigator.clipboard.write([new ClipboardItem({ "text/plain": load(button.dataset.copyUrl) })]);
      label.textContent = "Copied";
    } catch {
      label.textContent = "Couldn\u2019t copy";
    }
    announcer.textContent = label.textContent;
    setTimeout(() => { label.textContent = original; delete button.dataset.copying; }, COPIED_LABEL_MS);
  });
  document.addEventListener("click", (event) => {
    const question = event.target.closest("[data-edit-question]")?.closest(".question");
    const field = document.getElementById("question");
    if (!question || !field) return;
    field.value = question.querySelector(".question-text").textContent;
    field.focus();
  });

  // Removes the notice from the URL, so that a reload does not show it again.
  if (document.querySelector("[data-toast]")) {
    const url = new URL(location.href);
    url.searchParams.delete("notice");
    history.replaceState(history.state, "", url);
  }
  document.addEventListener("click", (event) => event.target.closest("[data-dismiss]")?.closest(".dismissable")?.remove());

  // Updates relative times while the page is open.
  const relativeTime = (seconds) => {
    const ago = (count, unit) => `${count} ${unit}${count === 1 ? "" : "s"} ago`;
    if (seconds < 60) return "just now";
    if (seconds < 3_600) return ago(Math.floor(seconds / 60), "minute");
    if (seconds < 86_400) return ago(Math.floor(seconds / 3_600), "hour");
    if (seconds < 30 * 86_400) return ago(Math.floor(seconds / 86_400), "day");
    return null;
  };
  // The browser's clock may be wrong. The page contains the server's time at which it was rendered.
  const clockOffsetMs = Date.now() - Number(document.body.dataset.now);
  setInterval(() => each("time[data-age]", (time) => {
    const text = relativeTime((Date.now() - clockOffsetMs - Date.parse(time.dateTime)) / 1_000);
    if (text && text !== time.textContent) time.textContent = text;
  }), AGE_REFRESH_MS);

  // Counts elapsed seconds during provisioning. Only the time that passed in the browser is added,
  // because clocks may differ.
  const startedAt = performance.now();
  setInterval(() => each("[data-elapsed]", (element) => {
    const before = Number(element.dataset.elapsed);
    const passed = performance.now() - (Number(element.dataset.seenAt) || startedAt);
    element.textContent = `${((before + passed) / 1_000).toFixed(1)} s`;
  }), ELAPSED_REFRESH_MS);
  document.addEventListener("htmx:load", (event) => within(event.detail.elt, "[data-elapsed]").forEach((element) => {
    element.dataset.seenAt = String(performance.now());
  }));

  // Announces changes of live regions to screen readers, if their announcement text has changed.
  const announced = new Map();
  const announceChanges = () => {
    const changes = [];
    each("[data-announce]", ({ id, dataset }) => {
      if (announced.has(id) && announced.get(id) !== dataset.announce) changes.push(dataset.announce);
      announced.set(id, dataset.announce);
    });
    if (changes.length > 0) announcer.textContent = changes.join(" ");
  };
  announceChanges();
  document.addEventListener("htmx:afterSettle", announceChanges);

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

  // Conversations: Enter sends, Shift+Enter starts a new line. The view follows the answer while
  // its end is visible.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || !event.target.matches?.("[data-submit-on-enter]")) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  });
  // Focuses the question field if there is a hardware keyboard. On a phone, focus would open the
  // on-screen keyboard.
  if (!location.hash && matchMedia("(hover: hover) and (pointer: fine)").matches) document.querySelector("[data-submit-on-enter]")?.focus({ preventScroll: true });
  // Keeps the draft of a question in this tab, until it is sent or the user signs out. The page that
  // shows the answer confirms that a question that was sent with the page's form arrived.
  const field = document.querySelector("[data-draft]");
  const draftKey = `draft:${location.pathname}`;
  document.addEventListener("submit", ({ target }) => {
    if (new URL(target.action).pathname.startsWith("/sign-out")) sessionStorage.clear();
    else if (field && target === field.form && !target.hasAttribute("hx-post")) sessionStorage.setItem("draft-sent", draftKey);
  });
  const sent = sessionStorage.getItem("draft-sent");
  sessionStorage.removeItem("draft-sent");
  if (sent && sent !== draftKey && document.querySelector("#messages .question")) sessionStorage.removeItem(sent);
  if (field) {
    if (!field.value) field.value = sessionStorage.getItem(draftKey) ?? "";
    field.addEventListener("input", () => sessionStorage.setItem(draftKey, field.value));
  }

  const messages = document.getElementById("messages");
  if (messages) {
    const page = document.scrollingElement;
    const toEnd = () => page.scrollTo({ top: page.scrollHeight });
    let follow = true;
    document.addEventListener("scroll", () => { follow = page.scrollHeight - page.scrollTop - page.clientHeight < FOLLOW_DISTANCE_PX; }, { passive: true });
    new ResizeObserver(() => { if (follow) toEnd(); }).observe(messages);
    if (!location.hash && messages.querySelector(".message")) toEnd();
    document.addEventListener("htmx:afterRequest", (event) => {
      if (!event.detail.successful || !event.target.matches("[data-composer]")) return;
      // The choice of documents stays.
      event.target.elements.question.value = "";
      sessionStorage.removeItem(draftKey);
      follow = true;
      toEnd();
    });
  }
})();
