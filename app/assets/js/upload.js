// Brings files: straight from the browser to the object store, with an address that the app signs for exactly this file.
//
// For each file: look at it (a PDF? not too large?), make its SHA-256, ask the app for an address, PUT it there, say that it is complete.
// Lost connections are tried again, an address that is too old is asked for anew, and what cannot be brought says why.
"use strict";

(() => {
  const FILES_AT_ONCE = 3;
  const TRIES_MAX = 6;
  const BACKOFF_MS = 1_000;
  const BACKOFF_MAX_MS = 15_000;
  const STALLED_MS = 45_000;
  const MAGIC_BYTES = 1_024;
  const LIST_WAIT_MS = 1_500;

  const form = document.querySelector("form[data-upload]");
  if (!form) return;
  const input = form.querySelector("input[type=file]");
  const list = document.getElementById("uploads");
  const status = document.getElementById("upload-status");
  const token = form.elements.csrf.value;
  const bytesMax = Number(form.dataset.fileBytesMax);

  /** Documents whose upload is shown by this page: their rows in the list stay hidden until it is done. */
  const underWay = new Set();
  const waiting = [];
  let active = 0;
  let finished = 0;

  // ---- What goes wrong ---------------------------------------------------------------------------------------------------------

  /** Trying again does not help. `told` is no failure: the file is here already. `signIn`: where to, if that is what is missing. */
  class Refused extends Error {
    constructor(title, whatToDo = "", { told = false, signIn = null } = {}) {
      super(whatToDo ? `${title} ${whatToDo}` : title);
      this.told = told;
      this.signIn = signIn;
    }
  }
  /** Trying again may help. `anew`: with a new address. */
  class Passing extends Error {
    constructor(message, { anew = false, afterMs = 0 } = {}) {
      super(message);
      this.anew = anew;
      this.afterMs = afterMs;
    }
  }

  // ---- Requests ----------------------------------------------------------------------------------------------------------------

  const sentence = (text) => (!text || /[.!?]$/.test(text) ? text ?? "" : `${text}.`);

  /** Sends JSON to the app and reads JSON; refusals come in the app's words. */
  const post = async (path, body, signal) => {
    let response;
    try {
      response = await fetch(path, {
        method: "POST",
        // Where the browser is, so that signing in leads back here.
        headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": token, "HX-Current-URL": location.href },
        body: JSON.stringify(body),
        signal,
      });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new Passing("The connection was lost.");
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const title = sentence(answer.title) || `The server answered ${response.status}.`;
    if (response.status === 429 || response.status >= 500) {
      throw new Passing(title, { afterMs: 1_000 * (Number(answer.retry_after_seconds ?? response.headers.get("Retry-After")) || 0) });
    }
    throw new Refused(title, sentence(answer.hint), { told: answer.code === "duplicate", signIn: answer.sign_in });
  };

  /** PUTs a file to its signed address, with progress, which fetch cannot tell. */
  const put = (target, file, onProgress, signal) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let stalled;
    const watch = () => {
      clearTimeout(stalled);
      stalled = setTimeout(() => request.abort(), STALLED_MS);
    };
    const abort = () => request.abort();
    request.open("PUT", target.url);
    for (const [name, value] of Object.entries(target.headers ?? {})) {
      // The browser says the length itself and lets nobody else.
      if (!["content-length", "host"].includes(name.toLowerCase())) request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => { watch(); onProgress(event.loaded); };
    request.onloadend = () => {
      clearTimeout(stalled);
      signal.removeEventListener("abort", abort);
      const code = request.status;
      if (signal.aborted) reject(signal.reason);
      // 412: it is there already, since an answer of an earlier try was lost. The app looks at it afterwards either way.
      else if ((code >= 200 && code < 300) || code === 412) resolve();
      else if (code === 403 || code === 400) reject(new Passing("The address for this file is not good any more.", { anew: true }));
      else reject(new Passing(code ? `The file store answered ${code}.` : "The connection was lost."));
    };
    signal.addEventListener("abort", abort);
    watch();
    request.send(file);
  });

  // ---- One file ----------------------------------------------------------------------------------------------------------------

  const sha256 = async (file) => {
    if (!globalThis.crypto?.subtle) throw new Refused("This browser makes no checksums here.", "Open the page over HTTPS.");
    let bytes;
    try {
      bytes = await file.arrayBuffer();
    } catch {
      throw new Refused("The file cannot be read.", "It may have been moved or changed; choose it again.");
    }
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return btoa(String.fromCharCode(...digest));
  };

  const size = (bytes) => (bytes >= 1_000_000 ? `${(bytes / 1_000_000).toFixed(1).replace(/\.0$/, "")} MB` : `${Math.max(1, Math.round(bytes / 1_000))} KB`);

  /** Says what is wrong with a file before anything is sent. */
  const look = async (file) => {
    if (file.size === 0) throw new Refused("The file is empty.", "Check that its export or download was complete.");
    if (file.size > bytesMax) throw new Refused(`${size(file.size)} is too large.`, `A file may have ${size(bytesMax)}: split it, or save it with smaller pictures.`);
    let head;
    try {
      head = new TextDecoder("latin1").decode(await file.slice(0, MAGIC_BYTES).arrayBuffer());
    } catch {
      throw new Refused("The file cannot be read.", "Folders cannot be brought; choose the files in them.");
    }
    if (!head.includes("%PDF-")) throw new Refused("This is not a PDF.", "Save or print it as PDF, and bring that.");
  };

  const pause = (ms, signal) => new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });

  /** Waits until there is a network again. */
  const online = (signal) => navigator.onLine !== false ? Promise.resolve() : new Promise((resolve, reject) => {
    window.addEventListener("online", resolve, { once: true });
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });

  /** Does a step until it is done, refused, or was tried too often. */
  const persist = async (row, step) => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await step();
      } catch (error) {
        if (!(error instanceof Passing) || tries >= TRIES_MAX) throw error;
        const backoff = Math.min(BACKOFF_MS * 2 ** (tries - 1), BACKOFF_MAX_MS) * (0.75 + Math.random() / 2);
        row.say(`${error.message} Trying again\u2026`);
        await pause(Math.max(backoff, error.afterMs), row.signal);
        if (navigator.onLine === false) {
          row.say("You are offline. It goes on when the connection is back.");
          await online(row.signal);
        }
      }
    }
  };

  const bring = async (row) => {
    const { file, signal } = row;
    row.say("Looking at the file\u2026");
    await look(file);
    const wish = { name: file.name, byte_count: file.size, media_type: "application/pdf", sha256: await sha256(file) };
    let target = null;
    await persist(row, async () => {
      target ??= await post(form.action, wish, signal);
      underWay.add(target.document);
      row.document = target.document;
      hideUnderWay();
      row.say("Uploading\u2026");
      try {
        await put(target, file, (loaded) => row.progress(loaded), signal);
      } catch (error) {
        if (error.anew) target = null;
        throw error;
      }
    });
    row.progress(file.size);
    row.say("Finishing\u2026");
    await persist(row, () => post(`${form.action}/${target.document}/complete`, {}, signal));
  };

  // ---- What is shown -----------------------------------------------------------------------------------------------------------

  const element = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });

  class Row {
    constructor(file) {
      this.file = file;
      this.document = null;
      this.controller = new AbortController();
      this.item = element("li", "upload");
      this.words = element("p", "upload-words", "Waiting for its turn\u2026");
      this.bar = Object.assign(element("progress", ""), { max: 100, value: 0 });
      this.bar.setAttribute("aria-label", `Uploading ${file.name}`);
      this.button = Object.assign(element("button", "button small", "Cancel"), { type: "button" });
      this.button.setAttribute("aria-label", `Cancel ${file.name}`);
      this.button.addEventListener("click", () => this.controller.abort());
      this.item.append(element("span", "upload-name", file.name), this.button, this.bar, this.words);
      list.append(this.item);
    }

    get signal() { return this.controller.signal; }

    say(words) { this.words.textContent = words; }

    progress(loaded) {
      const percent = this.file.size ? Math.floor((100 * loaded) / this.file.size) : 100;
      this.bar.value = percent;
      this.say(`${size(loaded)} of ${size(this.file.size)} \u00b7 ${percent}%`);
    }

    /** Leaves the row standing with what there is to say, until it is dismissed or tried again. */
    stop(error) {
      this.bar.remove();
      this.item.classList.add(error.told ? "told" : "refused");
      this.say(error.message);
      const button = Object.assign(element("button", "button small", error instanceof Passing ? "Try again" : "Dismiss"), { type: "button" });
      button.setAttribute("aria-label", `${button.textContent}: ${this.file.name}`);
      button.addEventListener("click", () => {
        this.item.remove();
        if (error instanceof Passing) add([this.file]);
      });
      this.button.replaceWith(button);
      if (error.signIn) this.words.append(" ", Object.assign(element("a", "", "Sign in"), { href: error.signIn }));
    }
  }

  const announce = (words) => { status.textContent = words; };

  /** Rows of the server's list for files whose progress stands above it. */
  const hideUnderWay = () => {
    for (const id of underWay) {
      const row = document.getElementById(`document-${id}`);
      if (row) row.hidden = true;
    }
    const free = document.getElementById("documents-free");
    if (free) input.disabled = Number(free.dataset.free) === 0;
  };
  document.addEventListener("htmx:afterSettle", hideUnderWay);
  document.addEventListener("htmx:oobAfterSwap", hideUnderWay);

  /** The file is the list's from now on; if no event brought its row, the list is fetched. */
  const handOver = (row) => {
    underWay.delete(row.document);
    row.item.remove();
    const show = () => {
      const shown = row.document && document.getElementById(`document-${row.document}`);
      if (shown) shown.hidden = false;
      return shown;
    };
    if (!show()) {
      setTimeout(() => {
        if (!show()) htmx.ajax("GET", form.action, { target: "#document-list", select: "#document-list > *", swap: "innerHTML" });
      }, LIST_WAIT_MS);
    }
  };

  /** Tells the app that a file will not come, so that its place is free again. */
  const giveUp = async (row) => {
    if (!row.document) return;
    await post(`${form.action}/${row.document}/cancel`, {}, new AbortController().signal).catch(() => {});
  };

  const run = async (row) => {
    try {
      await bring(row);
      finished += 1;
      announce(`${row.file.name} is uploaded.`);
      handOver(row);
    } catch (error) {
      if (row.signal.aborted) {
        announce(`${row.file.name} is cancelled.`);
        await giveUp(row);
        handOver(row);
      } else {
        announce(`${row.file.name}: ${error.message}`);
        underWay.delete(row.document);
        row.stop(error);
      }
    }
  };

  const next = () => {
    while (active < FILES_AT_ONCE && waiting.length > 0) {
      const row = waiting.shift();
      active += 1;
      run(row).finally(() => { active -= 1; next(); });
    }
  };

  const add = (files) => {
    let free = Number(document.getElementById("documents-free")?.dataset.free ?? Infinity) - waiting.length - active;
    for (const file of files) {
      const row = new Row(file);
      if (free <= 0) {
        row.stop(new Refused("There is no room for this one.", `A workspace holds ${form.dataset.documentsMax} documents; remove one first.`));
      } else {
        free -= 1;
        waiting.push(row);
      }
    }
    announce(files.length === 1 ? `Bringing ${files[0].name}.` : `Bringing ${files.length} files.`);
    next();
  };

  // ---- Choosing and dropping ---------------------------------------------------------------------------------------------------

  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  // Files may be dropped anywhere on the page: one that misses the zone should not replace the page.
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  document.addEventListener("dragenter", (event) => {
    if (!holdsFiles(event)) return;
    depth += 1;
    form.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!holdsFiles(event)) return;
    depth = Math.max(0, depth - 1);
    if (depth === 0) form.classList.remove("over");
  });
  document.addEventListener("dragover", (event) => { if (holdsFiles(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    depth = 0;
    form.classList.remove("over");
    if (event.dataTransfer.files.length > 0) add([...event.dataTransfer.files]);
  });

  window.addEventListener("beforeunload", (event) => { if (active > 0 || waiting.length > 0) event.preventDefault(); });
})();
