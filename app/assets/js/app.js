// What every page needs beside htmx: the theme, menus, dialogs, forms that are sent once, ages that stay true.
// Pages work without it where that is sensible; it is loaded deferred, so the document is there when it runs.
"use strict";

(() => {
  const AGE_REFRESH_MS = 30_000;
  const ELAPSED_REFRESH_MS = 100;
  const COPIED_SHOWN_MS = 2_000;
  const THEME_KEPT_SECONDS = 365 * 24 * 60 * 60;
  // How near the end of the page, in pixels, counts as reading along.
  const READING_ALONG_PX = 160;

  const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);

  /** Runs now, and on everything that htmx brings in later. */
  const onContent = (act) => {
    act(document);
    document.addEventListener("htmx:load", (event) => act(event.detail.elt));
  };
  /** Elements of a new part of the page that match, the part itself included. */
  const within = (root, selector) => [
    ...(root instanceof Element && root.matches(selector) ? [root] : []),
    ...root.querySelectorAll(selector),
  ];

  // Theme. The server reads the cookie, so that the next page comes in the right colours from its first paint.
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
      const age = button.value === "device" ? 0 : THEME_KEPT_SECONDS;
      document.cookie = `theme=${button.value}; Path=/; Max-Age=${age}; SameSite=Lax${secure}`;
      showTheme(button.value);
    });
  });

  // Menus: one open at a time; Escape and a click elsewhere close them.
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
  // A menu that is open stays open when what it stands in is replaced by something newer; htmx gives the focus back by id.
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

  // Dialogs: one serves all rows; the link that opens it says where its form goes and what stands in it.
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
    const back = opener.closest("details")?.querySelector("summary") ?? opener;
    dialog.addEventListener("close", () => back.isConnected && back.focus(), { once: true });
    dialog.showModal();
    dialog.querySelector("input[type=text]")?.select();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-close]") || event.target instanceof HTMLDialogElement) event.target.closest("dialog")?.close();
  });

  // Forms are sent once, however often the button is pressed. Coming back to the page makes them usable again.
  const rest = (form) => {
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
  document.addEventListener("htmx:afterRequest", (event) => { if (event.target instanceof HTMLFormElement) rest(event.target); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) each("form[data-sent]", rest); });

  // A removal is sent only when what is typed is what was asked for.
  onContent((part) => within(part, "[data-confirm]").forEach((input) => {
    const check = () => input.setCustomValidity(
      input.value.trim() === input.dataset.confirm.trim() ? "" : `Type \u201c${input.dataset.confirm}\u201d to confirm.`,
    );
    input.addEventListener("input", check);
    check();
  }));

  // Links to copy.
  onContent((part) => within(part, "[data-copy]").forEach((button) => {
    const field = document.getElementById(button.dataset.copy);
    const label = button.querySelector("span");
    const words = label.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      field.select();
      try {
        await navigator.clipboard.writeText(field.value);
        label.textContent = "Copied";
      } catch {
        label.textContent = "Press Ctrl+C";
      }
      setTimeout(() => { label.textContent = words; }, COPIED_SHOWN_MS);
    });
  }));
  document.addEventListener("focusin", (event) => { if (event.target.matches?.("[data-select]")) event.target.select(); });

  // What was said is said once: not again when the page is reloaded.
  if (document.querySelector("[data-toast]")) {
    const url = new URL(location.href);
    url.searchParams.delete("notice");
    history.replaceState(history.state, "", url);
  }
  document.addEventListener("click", (event) => event.target.closest("[data-dismiss]")?.closest(".dismissable")?.remove());

  // Ages stay true while the page is open.
  const ageWords = (seconds) => {
    const ago = (count, unit) => `${count} ${unit}${count === 1 ? "" : "s"} ago`;
    if (seconds < 60) return "just now";
    if (seconds < 3_600) return ago(Math.floor(seconds / 60), "minute");
    if (seconds < 86_400) return ago(Math.floor(seconds / 3_600), "hour");
    if (seconds < 30 * 86_400) return ago(Math.floor(seconds / 86_400), "day");
    return null;
  };
  // The browser's clock may be wrong; the page says what the server's was when it was made.
  const clockAheadMs = Date.now() - Number(document.body.dataset.now);
  setInterval(() => each("time[data-age]", (time) => {
    const words = ageWords((Date.now() - clockAheadMs - Date.parse(time.dateTime)) / 1_000);
    if (words && words !== time.textContent) time.textContent = words;
  }), AGE_REFRESH_MS);

  // Seconds run while something is being made. The clock of the browser may differ from the server's: only the time passed here is added.
  const startedAt = performance.now();
  setInterval(() => each("[data-elapsed]", (element) => {
    const before = Number(element.dataset.elapsed);
    const passed = performance.now() - (Number(element.dataset.seenAt) || startedAt);
    element.textContent = `${((before + passed) / 1_000).toFixed(1)} s`;
  }), ELAPSED_REFRESH_MS);
  document.addEventListener("htmx:load", (event) => within(event.detail.elt, "[data-elapsed]").forEach((element) => {
    element.dataset.seenAt = String(performance.now());
  }));

  // What changed in a live part is read out: the words that it carries for that, and only when they are others than before.
  const announcer = document.getElementById("announcer");
  const told = new Map();
  const tell = () => {
    const news = [];
    each("[data-announce]", ({ id, dataset }) => {
      if (told.has(id) && told.get(id) !== dataset.announce) news.push(dataset.announce);
      told.set(id, dataset.announce);
    });
    if (news.length > 0) announcer.textContent = news.join(" ");
  };
  tell();
  document.addEventListener("htmx:afterSettle", tell);

  // Live updates: say so when they stop, and when they go on.
  const connection = document.getElementById("connection");
  document.addEventListener("htmx:sseError", () => { connection.hidden = false; });
  document.addEventListener("htmx:sseOpen", () => { connection.hidden = true; });
  document.addEventListener("htmx:sseMessage", () => { connection.hidden = true; });

  // Conversations: Enter sends, Shift and Enter begins a new line; what is being written stays in view while it is read along.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || !event.target.matches?.("[data-submit-on-enter]")) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  });
  // Where there is a keyboard the question can be typed at once; on a phone one would pop up.
  if (!location.hash && matchMedia("(hover: hover) and (pointer: fine)").matches) document.querySelector("[data-submit-on-enter]")?.focus({ preventScroll: true });
  const messages = document.getElementById("messages");
  if (messages) {
    const page = document.scrollingElement;
    const toEnd = () => page.scrollTo({ top: page.scrollHeight });
    let along = true;
    document.addEventListener("scroll", () => { along = page.scrollHeight - page.scrollTop - page.clientHeight < READING_ALONG_PX; }, { passive: true });
    new ResizeObserver(() => { if (along) toEnd(); }).observe(messages);
    if (!location.hash && messages.querySelector(".message")) toEnd();
    document.addEventListener("htmx:afterRequest", (event) => {
      if (!event.detail.successful || !event.target.matches("[data-composer]")) return;
      event.target.reset();
      along = true;
      toEnd();
    });
  }
})();
