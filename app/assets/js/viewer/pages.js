// The pages of a PDF in a scrolling element. Only the pages near the visible part are drawn.
import { letters } from "./passage.js";

/** Limits the memory of a canvas; phones have little. */
const MAX_CANVAS_PIXELS = 12_000_000;
/** Pages this far outside of the visible part are drawn as well. */
const DRAW_MARGIN = "50% 0px";
/** How far from the top a mark is shown, as a share of the visible height. */
const MARK_POSITION = 0.3;
const MIN_ZOOM = 0.5;
const MAX_ZOOM = 4;

/** The page is not visible any more, or not at this size. */
class PageNotNeeded extends Error {
  name = "PageNotNeeded";
}

export class PageList {
  #scroller;
  #library;
  #pdf;
  #views = [];
  #observer;
  #zoom = 1;
  /** Of the first page, in points. Other pages are assumed to have the same size until they are drawn. */
  #size;

  constructor(scroller, library, pdf, firstPage) {
    [this.#scroller, this.#library, this.#pdf] = [scroller, library, pdf];
    this.#size = this.#sizeOf(firstPage);
    this.#views = Array.from({ length: pdf.numPages }, (_, index) => {
      const element = document.createElement("div");
      element.className = "viewer-page";
      element.dataset.page = String(index + 1);
      return { element, number: index + 1, size: null, drawing: null, find: null };
    });
    scroller.replaceChildren(...this.#views.map(({ element }) => element));
    this.#layOut();
    this.#observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const view = this.#views[Number(target.dataset.page) - 1];
        if (isIntersecting) this.#draw(view).catch(() => {});
        else this.#discard(view);
      }
    }, { root: scroller, rootMargin: DRAW_MARGIN });
    for (const { element } of this.#views) this.#observer.observe(element);
  }

  destroy() {
    this.#observer.disconnect();
    for (const view of this.#views) this.#discard(view);
    this.#scroller.replaceChildren();
  }

  /** The number of the page in the upper part of the visible area. */
  get current() {
    const line = this.#scroller.getBoundingClientRect().top + this.#scroller.clientHeight * MARK_POSITION;
    let [low, high] = [0, this.#views.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#views[middle].element.getBoundingClientRect().top <= line) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  }

  get canZoomIn() { return this.#zoom < MAX_ZOOM; }
  get canZoomOut() { return this.#zoom > MIN_ZOOM; }

  /** Changes the size of the pages by this factor. */
  zoomBy(factor) {
    this.#zoom = Math.min(Math.max(this.#zoom * factor, MIN_ZOOM), MAX_ZOOM);
    this.resize();
  }

  /** Fits the pages to the width of the scrolling element again, and keeps the position. */
  resize() {
    const { element } = this.#views[this.current - 1];
    const top = () => element.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top;
    const before = top() / element.offsetHeight;
    this.#layOut();
    this.#scroller.scrollTop += top() - before * element.offsetHeight;
    for (const view of this.#views) if (view.drawing) this.#draw(view).catch(() => {});
  }

  /**
   * Shows a page, and marks what `find` finds in its letters. Resolves to the result of `find` when the page is drawn.
   * Rejects if another page is shown before that.
   */
  async show(number, find) {
    const view = this.#views[number - 1];
    this.#scrollTo(view.element, 0);
    view.find = find;
    const letters = await this.#draw(view);
    const first = this.#mark(view, letters);
    if (first) this.#scrollTo(first, MARK_POSITION);
    return find?.(letters.text);
  }

  /** Marks what `find` finds on a page whenever the page is drawn. */
  markAlso(number, find) {
    const view = this.#views[number - 1];
    if (!view) return;
    view.find = find;
    view.drawing?.done.then((letters) => this.#mark(view, letters), () => {});
  }

  clearMarks() {
    for (const view of this.#views) {
      view.find = null;
      view.element.querySelector(".viewer-marks")?.remove();
    }
  }

  /** Scrolls an element of a page to this share of the visible height. */
  #scrollTo(element, share) {
    const distance = element.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top;
    this.#scroller.scrollTop += distance - this.#scroller.clientHeight * share;
  }

  #sizeOf(page) {
    const { width, height } = page.getViewport({ scale: 1 });
    return { width, height };
  }

  /** How many CSS pixels a point has. */
  get #scale() {
    const style = getComputedStyle(this.#scroller);
    const width = this.#scroller.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    return Math.max(width / this.#size.width, 0.1) * this.#zoom;
  }

  #layOut() {
    const scale = this.#scale;
    for (const view of this.#views) this.#setSize(view, scale);
  }

  #setSize({ element, size }, scale) {
    const { width, height } = size ?? this.#size;
    element.style.width = `${Math.floor(width * scale)}px`;
    element.style.height = `${Math.floor(height * scale)}px`;
    element.style.setProperty("--total-scale-factor", String(scale));
  }

  /** Draws a page unless it is drawn at this size. Resolves to its letters and the elements of its text. */
  #draw(view) {
    const scale = this.#scale;
    if (view.drawing?.scale !== scale) {
      view.drawing?.cancel();
      const drawing = { scale, isCancelled: false, tasks: [] };
      drawing.cancel = () => {
        drawing.isCancelled = true;
        for (const task of drawing.tasks) task.cancel();
      };
      view.drawing = drawing;
      drawing.done = this.#drawAt(view, drawing);
      drawing.done.catch(() => { if (view.drawing === drawing) view.drawing = null; });
    }
    return view.drawing.done;
  }

  async #drawAt(view, drawing) {
    const ensureNeeded = () => { if (drawing.isCancelled) throw new PageNotNeeded(); };
    const page = await this.#pdf.getPage(view.number);
    ensureNeeded();
    const viewport = page.getViewport({ scale: drawing.scale });
    view.size = this.#sizeOf(page);
    this.#setSize(view, drawing.scale);
    const ratio = Math.min(devicePixelRatio || 1, Math.sqrt(MAX_CANVAS_PIXELS / (viewport.width * viewport.height)));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(Math.floor(viewport.width * ratio), 1);
    canvas.height = Math.max(Math.floor(viewport.height * ratio), 1);
    canvas.setAttribute("aria-hidden", "true");
    const container = document.createElement("div");
    container.className = "textLayer";
    const text = new this.#library.TextLayer({ textContentSource: page.streamTextContent(), container, viewport });
    const picture = page.render({ canvas, viewport, transform: ratio === 1 ? null : [ratio, 0, 0, ratio, 0, 0] });
    drawing.tasks.push(text, picture);
    await Promise.all([picture.promise, text.render()]);
    ensureNeeded();
    view.element.replaceChildren(canvas, container);
    const drawn = { ...letters(text.textContentItemsStr), divs: text.textDivs };
    this.#mark(view, drawn);
    return drawn;
  }

  #discard(view) {
    view.drawing?.cancel();
    view.drawing = null;
    view.element.replaceChildren();
  }

  /** Draws boxes over what is to be marked on a page. Returns the first of them. */
  #mark({ element, find }, { text, origins, divs }) {
    element.querySelector(".viewer-marks")?.remove();
    const layer = document.createElement("div");
    layer.className = "viewer-marks";
    const page = element.getBoundingClientRect();
    for (const part of (find?.(text).ranges ?? []).flatMap(([start, end]) => partsOf(origins, start, end))) {
      const node = divs[part.index]?.firstChild;
      if (!node?.isConnected) continue;
      const range = document.createRange();
      range.setStart(node, part.start);
      range.setEnd(node, part.end);
      for (const { left, top, width, height } of range.getClientRects()) {
        const box = document.createElement("div");
        box.style.left = `${(100 * (left - page.left)) / page.width}%`;
        box.style.top = `${(100 * (top - page.top)) / page.height}%`;
        box.style.width = `${(100 * width) / page.width}%`;
        box.style.height = `${(100 * height) / page.height}%`;
        layer.append(box);
      }
    }
    element.append(layer);
    return layer.firstElementChild;
  }
}

/** The range of letters as ranges of the strings that they come from. */
function partsOf(origins, start, end) {
  const parts = [];
  for (const [index, from, to] of origins.slice(start, end)) {
    const last = parts.at(-1);
    if (last?.index === index) last.end = to;
    else parts.push({ index, start: from, end: to });
  }
  return parts;
}
