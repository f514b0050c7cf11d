// Uploads files directly from the browser to the object store, with a URL that the app signs for
// exactly one file.
//
// For each file: validate it (type and size), compute its SHA-256, request a presigned URL, PUT the
// file, and complete the upload. Lost connections are retried, an expired URL is replaced, and a
// rejected file shows the reason.
"use strict";

(() => {
  const MAX_CONCURRENT_UPLOADS = 3;
  const MAX_ATTEMPTS = 6;
  const BACKOFF_MS = 1_000;
  const MAX_BACKOFF_MS = 15_000;
  const STALL_TIMEOUT_MS = 45_000;
  const MAGIC_BYTES = 1_024;
  const LIST_REFRESH_DELAY_MS = 1_500;

  const form = document.querySelector("form[data-upload]");
  if (!form) return;
  const input = form.querySelector("input[type=file]");
  const list = document.getElementById("uploads");
  const status = document.getElementById("upload-status");
  const token = form.elements.csrf.value;
  const maxBytes = Number(form.dataset.maxFileBytes);

  /** Documents that this page is uploading. Their rows in the list stay hidden until the upload is complete. */
  const uploading = new Set();
  const waiting = [];
  let active = 0;
  let finished = 0;

  // ---- Errors
  // ---------------------------------------------------------------------------------------------------------

  /** A permanent error. `info`: not a failure, the file already exists. `signIn`: the sign-in URL, if the session has ended. */
  class PermanentError extends Error {
    constructor(title, hint = "", { info = false, signIn = null } = {}) {
      super(hint ? `${title} ${hint}` : title);
      this.info = info;
      this.signIn = signIn;
    }
  }
  /** A retryable error. `newUrl`: the retry needs a new presigned URL. */
  class RetryableError extends Error {
    constructor(message, { newUrl = false, afterMs = 0 } = {}) {
      super(message);
      this.newUrl = newUrl;
      this.afterMs = afterMs;
    }
  }

  // ---- Requests
  // ----------------------------------------------------------------------------------------------------------------

  const asSentence = (text) => (!text || /[.!?]$/.test(text) ? text ?? "" : `${text}.`);

  /** Sends JSON to the app and reads the JSON response. Errors carry the messages of the app. */
  const post = async (path, body, signal) => {
    let response;
    try {
      response = await fetch(path, {
        method: "POST",
        // Signing in returns to this page.
        headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": token, "HX-Current-URL": location.href },
        body: JSON.stringify(body),
        signal,
      });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new RetryableError("The connection was lost.");
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const title = asSentence(answer.title) || `The server responded with status ${response.status}.`;
    if (response.status === 429 || response.status >= 500) {
      throw new RetryableError(title, { afterMs: 1_000 * (Number(answer.retry_after_seconds ?? response.headers.get("Retry-After")) || 0) });
    }
    throw new PermanentError(title, asSentence(answer.hint), { info: answer.code === "duplicate", signIn: answer.sign_in });
  };

  /** PUTs a file to its presigned URL. XMLHttpRequest reports progress, which fetch does not. */
  const put = (target, file, onProgress, signal) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let stalled;
    const watch = () => {
      clearTimeout(stalled);
      stalled = setTimeout(() => request.abort(), STALL_TIMEOUT_MS);
    };
    const abort = () => request.abort();
    request.open("PUT", target.url);
    for (const [name, value] of Object.entries(target.headers ?? {})) {
      // Browsers set these headers themselves and forbid scripts to set them.
      if (!["content-length", "host"].includes(name.toLowerCase())) request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => { watch(); onProgress(event.loaded); };
    request.onloadend = () => {
      clearTimeout(stalled);
      signal.removeEventListener("abort", abort);
      const code = request.status;
      if (signal.aborted) reject(signal.reason);
      // 412: an earlier attempt succeeded, but its response was lost. The app verifies the file in
      // any case.
      else if ((code >= 200 && code < 300) || code === 412) resolve();
      else if (code === 403 || code === 400) reject(new RetryableError("The upload link has expired.", { newUrl: true }));
      else reject(new RetryableError(code ? `The file storage responded with status ${code}.` : "The connection was lost."));
    };
    signal.addEventListener("abort", abort);
    watch();
    request.send(file);
  });

  // ---- One file
  // ----------------------------------------------------------------------------------------------------------------

  const sha256 = async (file) => {
    if (!globalThis.crypto?.subtle) throw new PermanentError("Your browser cannot compute checksums on this page.", "Open the page over HTTPS and try again.");
    let bytes;
    try {
      bytes = await file.arrayBuffer();
    } catch {
      throw new PermanentError("We couldn\u2019t read the file.", "It may have been moved or changed. Choose it again.");
    }
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return btoa(String.fromCharCode(...digest));
  };

  const size = (bytes) => (bytes >= 1_000_000 ? `${(bytes / 1_000_000).toFixed(1).replace(/\.0$/, "")} MB` : `${Math.max(1, Math.round(bytes / 1_000))} KB`);

  /** Validates a file before anything is sent. */
  const validate = async (file) => {
    if (file.size === 0) throw new PermanentError("The file is empty.", "Check that it was exported or downloaded completely.");
    if (file.size > maxBytes) throw new PermanentError(`The file is too large (${size(file.size)}).`, `The limit is ${size(maxBytes)}. Split the file, or reduce the size of its images.`);
    let head;
    try {
      head = new TextDecoder("latin1").decode(await file.slice(0, MAGIC_BYTES).arrayBuffer());
    } catch {
      throw new PermanentError("We couldn\u2019t read the file.", "Folders are not supported. Choose the files in the folder.");
    }
    if (!head.includes("%PDF-")) throw new PermanentError("This isn\u2019t a PDF.", "Save the file as a PDF and upload that.");
  };

  const pause = (ms, signal) => new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });

  /** Waits until the browser is online. */
  const online = (signal) => navigator.onLine !== false ? Promise.resolve() : new Promise((resolve, reject) => {
    window.addEventListener("online", resolve, { once: true });
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });

  /** Repeats a step until it succeeds, fails permanently, or reaches the maximum number of attempts. */
  const retry = async (row, step) => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await step();
      } catch (error) {
        if (!(error instanceof RetryableError) || attempt >= MAX_ATTEMPTS) throw error;
        const backoff = Math.min(BACKOFF_MS * 2 ** (attempt - 1), MAX_BACKOFF_MS) * (0.75 + Math.random() / 2);
        row.say(`${error.message} Retrying\u2026`);
        await pause(Math.max(backoff, error.afterMs), row.signal);
        if (navigator.onLine === false) {
          row.say("You\u2019re offline. The upload continues when you are back online.");
          await online(row.signal);
        }
      }
    }
  };

  const upload = async (row) => {
    const { file, signal } = row;
    row.say("Checking the file\u2026");
    await validate(file);
    const request = { name: file.name, byte_count: file.size, media_type: "application/pdf", sha256: await sha256(file) };
    let target = null;
    await retry(row, async () => {
      target ??= await post(form.action, request, signal);
      uploading.add(target.document);
      row.document = target.document;
      hideUploading();
      row.say("Uploading\u2026");
      try {
        await put(target, file, (loaded) => row.progress(loaded), signal);
      } catch (error) {
        if (error.newUrl) target = null;
        throw error;
      }
    });
    row.progress(file.size);
    row.say("Finishing\u2026");
    await retry(row, () => post(`${form.action}/${target.document}/complete`, {}, signal));
  };

  // ---- Display
  // -----------------------------------------------------------------------------------------------------------

  const element = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });

  class Row {
    constructor(file) {
      this.file = file;
      this.document = null;
      this.controller = new AbortController();
      this.item = element("li", "upload");
      this.message = element("p", "upload-message", "Waiting\u2026");
      this.bar = Object.assign(element("progress", ""), { max: 100, value: 0 });
      this.bar.setAttribute("aria-label", `Uploading ${file.name}`);
      this.button = Object.assign(element("button", "button small", "Cancel"), { type: "button" });
      this.button.setAttribute("aria-label", `Cancel ${file.name}`);
      this.button.addEventListener("click", () => this.controller.abort());
      this.item.append(element("span", "upload-name", file.name), this.button, this.bar, this.message);
      list.append(this.item);
    }

    get signal() { return this.controller.signal; }

    say(message) { this.message.textContent = message; }

    progress(loaded) {
      const percent = this.file.size ? Math.floor((100 * loaded) / this.file.size) : 100;
      this.bar.value = percent;
      this.say(`${size(loaded)} of ${size(this.file.size)} \u00b7 ${percent}%`);
    }

    /** Shows the error until the user dismisses it or tries again. */
    fail(error) {
      this.bar.remove();
      this.item.classList.add(error.info ? "info" : "rejected");
      this.say(error.message);
      const button = Object.assign(element("button", "button small", error instanceof RetryableError ? "Try again" : "Dismiss"), { type: "button" });
      button.setAttribute("aria-label", `${button.textContent}: ${this.file.name}`);
      button.addEventListener("click", () => {
        this.item.remove();
        if (error instanceof RetryableError) add([this.file]);
      });
      this.button.replaceWith(button);
      if (error.signIn) this.message.append(" ", Object.assign(element("a", "", "Sign in"), { href: error.signIn }));
    }
  }

  const announce = (text) => { status.textContent = text; };

  /** Hides the server's rows of files whose progress is shown above the list. */
  const hideUploading = () => {
    for (const id of uploading) {
      const row = document.getElementById(`document-${id}`);
      if (row) row.hidden = true;
    }
    const free = document.getElementById("documents-free");
    if (free) input.disabled = Number(free.dataset.free) === 0;
  };
  document.addEventListener("htmx:afterSettle", hideUploading);
  document.addEventListener("htmx:oobAfterSwap", hideUploading);

  /** Replaces the progress by the row of the list. If no event has added the row, reloads the list. */
  const showInList = (row) => {
    uploading.delete(row.document);
    row.item.remove();
    const show = () => {
      const shown = row.document && document.getElementById(`document-${row.document}`);
      if (shown) shown.hidden = false;
      return shown;
    };
    if (!show()) {
      setTimeout(() => {
        if (!show()) htmx.ajax("GET", form.action, { target: "#document-list", select: "#document-list > *", swap: "innerHTML" });
      }, LIST_REFRESH_DELAY_MS);
    }
  };

  /** Cancels the upload in the app, which frees its place in the quota. */
  const cancel = async (row) => {
    if (!row.document) return;
    await post(`${form.action}/${row.document}/cancel`, {}, new AbortController().signal).catch(() => {});
  };

  const run = async (row) => {
    try {
      await upload(row);
      finished += 1;
      announce(`Uploaded ${row.file.name}.`);
      showInList(row);
    } catch (error) {
      if (row.signal.aborted) {
        announce(`Cancelled ${row.file.name}.`);
        await cancel(row);
        showInList(row);
      } else {
        announce(`${row.file.name}: ${error.message}`);
        uploading.delete(row.document);
        row.fail(error);
      }
    }
  };

  const next = () => {
    while (active < MAX_CONCURRENT_UPLOADS && waiting.length > 0) {
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
        row.fail(new PermanentError("This workspace is full.", `It can hold ${form.dataset.maxDocuments} documents. Delete one first.`));
      } else {
        free -= 1;
        waiting.push(row);
      }
    }
    announce(files.length === 1 ? `Uploading ${files[0].name}.` : `Uploading ${files.length} files.`);
    next();
  };

  // ---- File selection and drag and drop
  // ---------------------------------------------------------------------------------------------------

  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  // Accept files dropped anywhere on the page. Otherwise a file that misses the zone would replace
  // the page.
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
