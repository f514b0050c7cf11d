// Shows the document of a citation beside the conversation, with the cited passage marked. It is loaded when the first
// citation is opened.
//
// The file is requested from the app, which checks access and redirects to a new signed URL of the store each time. So
// a document that has been open for hours still loads its pages.
import { findContinuation, findPassage, letters, occurrences } from "./passage.js";
import { PageList } from "./pages.js";

/** Wide enough for the conversation and a page side by side. */
const WIDE = matchMedia("(min-width: 75rem)");
const ZOOM_STEP = 1.25;
const RESIZE_DELAY_MS = 150;
/** Number of pages after the cited one on which a passage may continue. */
const MAX_CONTINUED_PAGES = 4;
/** The errors of pages that are not needed any more. */
const CANCELLATIONS = new Set(["PageNotNeeded", "RenderingCancelledException", "AbortException"]);
/** Size of a range request, in bytes. Each one is redirected, so they are large. */
const PART_BYTES = 1_048_576;

/** The open document: its URL, `pdf` and `pages` when they are loaded, and how to end it. */
let shown = null;
let sources = [];
let position = -1;
/** The citation that was clicked, to which the focus returns. */
let opener = null;
/** The last match of the search: a page, and the place in its letters. */
let match = null;
let searching = 0;
/** Resolves when the stylesheet is loaded. */
let prepared = null;

const dialog = document.getElementById("viewer");
const part = (name) => document.getElementById(`viewer-${name}`);

/** Opens the citation of this link. */
export async function open(link) {
  prepared ??= loadStyle().then(listen).catch((error) => {
    // The next click tries again.
    prepared = null;
    throw error;
  });
  await prepared;
  opener = link;
  const answer = link.closest(".answer");
  sources = [...answer.querySelectorAll("[data-source]")].map((element) => ({
    ...element.dataset,
    page: Number(element.dataset.page),
    passage: letters([element.querySelector("blockquote").textContent]).text,
  }));
  position = sources.findIndex(({ source }) => source === link.dataset.citation);
  if (position < 0) {
    // The answer is still being written, so its sources are not listed yet.
    const [file, page] = link.getAttribute("href").split("#page=");
    sources = [{ file, title: link.title, pages: `page ${page}`, page: Number(page), passage: "" }];
    position = 0;
  }
  if (!dialog.open) showDialog();
  link.scrollIntoView({ block: "nearest" });
  await showSource();
}

async function loadStyle() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = dialog.dataset.style;
  document.head.append(style);
  await new Promise((resolve, reject) => {
    style.addEventListener("load", resolve);
    style.addEventListener("error", () => {
      style.remove();
      reject(new Error("failed to load the viewer's stylesheet"));
    });
  });
}

function listen() {
  part("close").addEventListener("click", () => dialog.close());
  part("previous").addEventListener("click", () => moveBy(-1));
  part("next").addEventListener("click", () => moveBy(1));
  part("zoom-in").addEventListener("click", () => zoomBy(ZOOM_STEP));
  part("zoom-out").addEventListener("click", () => zoomBy(1 / ZOOM_STEP));
  part("page").addEventListener("change", ({ target }) => goTo(target.value));
  part("search").addEventListener("submit", (event) => {
    event.preventDefault();
    search(event.submitter?.value === "previous" ? -1 : 1);
  });
  part("term").addEventListener("input", () => { match = null; searching += 1; say(""); });
  part("term").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    search(event.shiftKey ? -1 : 1);
  });
  part("pages").addEventListener("scroll", () => requestAnimationFrame(showPageNumber), { passive: true });
  dialog.addEventListener("keydown", (event) => {
    // The browser closes modal dialogs itself.
    if (event.key === "Escape" && !dialog.matches(":modal")) dialog.close();
  });
  dialog.addEventListener("close", closed);
  WIDE.addEventListener("change", () => {
    if (!dialog.open) return;
    dialog.removeEventListener("close", closed);
    dialog.addEventListener("close", () => {
      dialog.addEventListener("close", closed);
      showDialog();
    }, { once: true });
    dialog.close();
  });
  let timer;
  new ResizeObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(() => shown?.pages?.resize(), RESIZE_DELAY_MS);
  }).observe(part("pages"));
}

function showDialog() {
  document.getElementById("main").classList.toggle("with-viewer", WIDE.matches);
  if (WIDE.matches) dialog.show();
  else dialog.showModal();
}

function closed() {
  document.getElementById("main").classList.remove("with-viewer");
  searching += 1;
  unload();
  // This event comes later than the click. By now, the user may be typing a question.
  const isFree = document.activeElement === document.body || dialog.contains(document.activeElement);
  if (isFree && opener?.isConnected) opener.focus();
}

function unload() {
  shown?.pages?.destroy();
  shown?.task?.destroy().catch(() => {});
  shown = null;
}

const say = (text) => { part("status").textContent = text; };

function moveBy(step) {
  position += step;
  showSource();
}

async function showSource() {
  const source = sources[position];
  part("title").textContent = source.title;
  part("source").textContent = sources.length > 1 ? `Source ${position + 1} of ${sources.length}: ${source.pages}` : source.pages;
  part("previous").disabled = position === 0;
  part("next").disabled = position === sources.length - 1;
  part("download").href = source.file.replace(/\/file$/, "/download");
  part("open").href = `${source.file}#page=${source.page}`;
  searching += 1;
  match = null;
  say("");
  try {
    const pages = await load(source.file);
    if (!pages || sources[position] !== source) return;
    pages.clearMarks();
    const number = Math.min(source.page, shown.pdf.numPages);
    const find = source.passage ? (text) => findPassage(source.passage, text) : null;
    const found = await pages.show(number, find);
    if (sources[position] !== source) return;
    if (find && !found.ranges.length) say("The passage couldn\u2019t be marked on this page. The page may be an image.");
    else if (found?.rest) {
      for (let next = 1; next <= MAX_CONTINUED_PAGES; next += 1) pages.markAlso(number + next, (text) => findContinuation(found.rest, text));
    }
  } catch (error) {
    // Another page or document may have been shown in the meantime.
    if (!shown || sources[position] !== source) return;
    if (!shown.pages) problem(error);
    else if (!CANCELLATIONS.has(error.name)) say("This page couldn\u2019t be displayed.");
  }
}

/** Loads the document unless it is open. Resolves to its pages, or to nothing if another one was opened meanwhile. */
async function load(file) {
  if (shown?.file === file) return shown.ready;
  unload();
  part("problem").hidden = true;
  part("pages").setAttribute("aria-busy", "true");
  const current = { file, pages: null, pdf: null };
  shown = current;
  current.ready = (async () => {
    const { library, worker, resources } = dialog.dataset;
    const pdfjs = await import(library);
    if (shown !== current) return null;
    pdfjs.GlobalWorkerOptions.workerSrc = worker;
    const url = (folder) => new URL(folder, location.href).href;
    current.task = pdfjs.getDocument({
      url: url(file),
      // The response to a request without access is an error instead of a page.
      httpHeaders: { Accept: "application/pdf, application/json" },
      rangeChunkSize: PART_BYTES,
      disableAutoFetch: true,
      disableStream: true,
      cMapUrl: url(resources),
      standardFontDataUrl: url(resources),
      wasmUrl: url(resources),
      // The Content-Security-Policy does not allow it. The same decoders exist as JavaScript.
      useWasm: false,
    });
    current.pdf = await current.task.promise;
    const [first, labels] = await Promise.all([current.pdf.getPage(1), current.pdf.getPageLabels()]);
    if (shown !== current) return null;
    current.labels = labels;
    current.pages = new PageList(part("pages"), pdfjs, current.pdf, first);
    part("count").textContent = `of ${current.pdf.numPages}`;
    part("page").max = String(current.pdf.numPages);
    showZoom();
    return current.pages;
  })();
  try {
    return await current.ready;
  } finally {
    if (shown === current) part("pages").removeAttribute("aria-busy");
  }
}

function problem(error) {
  const texts = {
    401: "You\u2019re signed out. Sign in again to see the document.",
    404: "The document doesn\u2019t exist any more.",
  };
  const isProtected = error?.name === "PasswordException";
  part("problem-text").textContent = texts[error?.status] ?? (isProtected
    ? "This document is protected by a password, so it can\u2019t be shown here."
    : "The document couldn\u2019t be loaded. Try again, or open it in a new tab.");
  part("pages").replaceChildren();
  part("problem").hidden = false;
  // The next attempt loads it again.
  unload();
  console.warn("failed to show a document", error);
}

function showPageNumber() {
  if (!shown?.pages) return;
  const number = shown.pages.current;
  const label = shown.labels?.[number - 1];
  if (document.activeElement !== part("page")) part("page").value = String(number);
  part("label").textContent = label && label !== String(number) ? `(printed ${label})` : "";
}

function showZoom() {
  part("zoom-in").disabled = !shown.pages.canZoomIn;
  part("zoom-out").disabled = !shown.pages.canZoomOut;
  showPageNumber();
}

function zoomBy(factor) {
  if (!shown?.pages) return;
  shown.pages.zoomBy(factor);
  showZoom();
}

function goTo(text) {
  if (!shown?.pages) return;
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= shown.pdf.numPages) shown.pages.show(number, null).catch(() => {});
  else showPageNumber();
}

/** Shows the next or the previous match of the search. */
async function search(direction) {
  if (!shown?.pages) return;
  const term = letters([part("term").value]).text;
  if (!term) {
    say("Enter a word to search for.");
    return;
  }
  searching += 1;
  const current = searching;
  try {
    await searchPages(term, direction, current);
  } catch (error) {
    if (current !== searching) return;
    say("The search stopped. Try again.");
    console.warn("failed to search a document", error);
  }
}

/** Searches from the last match, or the visible page, until another search begins. */
async function searchPages(term, direction, current) {
  const { pdf, pages } = shown;
  const start = match?.page ?? pages.current;
  // The page on which the search starts comes again at the end.
  for (let step = 0; step <= pdf.numPages; step += 1) {
    const page = ((start - 1 + direction * step + pdf.numPages * 2) % pdf.numPages) + 1;
    say(`Searching page ${page}\u2026`);
    const { items } = await (await pdf.getPage(page)).getTextContent();
    if (current !== searching) return;
    const places = occurrences(term, letters(items.map(({ str }) => str ?? "")).text);
    const before = match && step === 0 ? match.index : direction > 0 ? -1 : places.length;
    const index = before + direction;
    if (index >= 0 && index < places.length) {
      match = { page, index };
      pages.clearMarks();
      await pages.show(page, (text) => ({ ranges: occurrences(term, text).slice(index, index + 1) })).catch(() => {});
      say(`Match ${index + 1} of ${places.length} on page ${page}`);
      return;
    }
  }
  say("Not found in this document.");
}
