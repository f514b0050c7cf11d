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
  // A menu at the end of the page opens upwards.
  const openTowardsSpace = (menu) => {
    menu.classList.remove("upward");
    const items = menu.querySelector(".menu-items");
    // The tabs at the bottom of small screens.
    const tabs = document.querySelector(".sections");
    const covered = tabs && getComputedStyle(tabs).position === "fixed" ? tabs.offsetHeight : 0;
    const { bottom, height } = items.getBoundingClientRect();
    menu.classList.toggle("upward", bottom > innerHeight - covered && menu.getBoundingClientRect().top > height);
  };
  // An open menu stays open when htmx replaces the element that contains it. htmx restores the
  // focus by id.
  let openMenu = "";
  document.addEventListener("toggle", (event) => {
    if (!event.target.matches("details[data-menu]")) return;
    const id = event.target.querySelector("summary").id;
    if (event.target.open) openMenu = id;
    if (event.target.open) openTowardsSpace(event.target);
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

  // Shows a problem where the server's responses show theirs.
  const showProblem = (title, text) => {
    const callout = document.createElement("div");
    callout.className = "callout bad";
    callout.setAttribute("role", "alert");
    const content = document.createElement("div");
    for (const [className, line] of [["callout-title", title], ["", text]]) {
      const paragraph = document.createElement("p");
      paragraph.className = className;
      paragraph.textContent = line;
      content.append(paragraph);
    }
    callout.append(content);
    document.getElementById("problems").replaceChildren(callout);
  };
  // Nothing is sent while the browser is offline: a page that cannot be loaded would replace this one. The viewer's search
  // sends nothing.
  const OFFLINE = ["You\u2019re offline", "Nothing was sent, and what you typed is still here. Try again when you\u2019re connected."];
  document.addEventListener("submit", (event) => {
    if (navigator.onLine || event.target.getAttribute("method") === "dialog" || event.target.closest("#viewer")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    event.target.closest("dialog")?.close();
    showProblem(...OFFLINE);
  }, true);
  window.addEventListener("online", () => {
    if (document.getElementById("problems").textContent.startsWith(OFFLINE[0])) document.getElementById("problems").replaceChildren();
  });
  document.addEventListener("htmx:sendError", () => showProblem("The server didn\u2019t respond", "What you typed is still here. Check your connection and try again."));
  document.addEventListener("htmx:timeout", () => showProblem("The server didn\u2019t respond in time", "What you typed is still here. Try again in a moment."));

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

  // Citations open beside the conversation. A browser that cannot load the viewer opens the file in another tab, as for a
  // click with a modifier key.
  const viewer = document.getElementById("viewer");
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-citation]");
    if (!link || !viewer || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    try {
      const { open } = await import(viewer.dataset.script);
      await open(link);
    } catch {
      window.open(link.href, "_blank", "noopener");
    }
  });

  // Removes the notice from the URL, so that a reload does not show it again.
  const undo = document.querySelector("[data-undo-seconds]");
  if (undo || document.querySelector("[data-toast]")) {
    const url = new URL(location.href);
    url.searchParams.delete("notice");
    url.searchParams.delete("deleted");
    history.replaceState(history.state, "", url);
  }
  if (undo) setTimeout(() => undo.remove(), Number(undo.dataset.undoSeconds) * 1_000);
  document.addEventListener("click", (event) => event.target.closest("[data-dismiss]")?.closest(".dismissable")?.remove());

  // Exact times are shown in the reader's time zone, and the server's are in UTC.
  const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
  const momentFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
  onContent((part) => within(part, "time[datetime]").forEach((time) => {
    const at = new Date(time.dateTime);
    const text = momentFormat.format(at);
    if (!("age" in time.dataset)) time.textContent = text;
    else time.title = text;
    if (/\d{4}$/.test(time.textContent)) time.textContent = dayFormat.format(at);
  }));
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
    each("[data-show-after]", (part) => { part.hidden = before + passed < Number(part.dataset.showAfter); });
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
  // Shows which documents are selected while their list is closed.
  document.addEventListener("change", ({ target }) => {
    const scope = target.closest("[data-scope]");
    if (!scope) return;
    const selected = scope.querySelectorAll("input:checked");
    const [first] = selected;
    scope.querySelector(".scope-label").textContent = selected.length === 0 ? "All documents"
      : selected.length === 1 ? first.labels[0].textContent : `${selected.length} documents`;
  });
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
