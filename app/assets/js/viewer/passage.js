// Finds a passage in the text of a page. The passage was extracted by other software, so white space, hyphens,
// ligatures, accents and the order of columns may differ: only letters and digits are compared.

/** Shorter parts of a passage also occur elsewhere. In letters. */
const MIN_PART = 12;
/** A page is marked only if it contains at least this share of the passage. */
const MIN_SHARE = 0.3;
/** On the pages after it, of which each may contain a few lines, longer parts are required instead. In letters. */
const MIN_CONTINUED_PART = 24;

/**
 * The letters and digits of these strings in lower case, without accents. For each, `origins` has the index of its
 * string and its start and end in it.
 */
export function letters(strings) {
  let text = "";
  const origins = [];
  strings.forEach((string, index) => {
    let start = 0;
    for (const character of string) {
      const end = start + character.length;
      const found = character.normalize("NFKD").toLowerCase().match(/[\p{L}\p{N}]/gu) ?? [];
      for (const unit of found.join("")) {
        text += unit;
        for (let count = 0; count < unit.length; count += 1) origins.push([index, start, end]);
      }
      start = end;
    }
  });
  return { text, origins };
}

/** All places of `part` in `text`, as [start, end]. */
export function occurrences(part, text) {
  const found = [];
  for (let at = part ? text.indexOf(part) : -1; at >= 0; at = text.indexOf(part, at + part.length)) found.push([at, at + part.length]);
  return found;
}

/** Where `part` occurs in `text`, as close to `near` as possible; -1 if nowhere. */
function nearest(part, text, near) {
  let best = -1;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + 1)) {
    if (best < 0 || Math.abs(at - near) < Math.abs(best - near)) best = at;
    if (at >= near) break;
  }
  return best;
}

/**
 * The places of the passage in the text of a page, as [start, end], and `rest`, what follows the last of them in the
 * passage. Both texts consist of letters only. If the page does not contain the passage as a whole, its parts are found.
 */
export function findPassage(passage, text, minPart = MIN_PART, minShare = MIN_SHARE) {
  const whole = passage ? text.indexOf(passage) : -1;
  if (whole >= 0) return { ranges: [[whole, whole + passage.length]], rest: "" };
  const ranges = [];
  let [at, end, near, found] = [0, 0, 0, 0];
  while (at + minPart <= passage.length) {
    const start = nearest(passage.slice(at, at + minPart), text, near);
    if (start < 0) {
      at += 1;
      continue;
    }
    let length = minPart;
    while (at + length < passage.length && passage[at + length] === text[start + length]) length += 1;
    ranges.push([start, start + length]);
    at += length;
    found += length;
    [end, near] = [at, start + length];
  }
  return found >= minShare * passage.length ? { ranges, rest: passage.slice(end) } : { ranges: [], rest: passage };
}

/** The places on one of the next pages of a passage that continues there. */
export const findContinuation = (rest, text) => findPassage(rest, text, MIN_CONTINUED_PART, 0);
