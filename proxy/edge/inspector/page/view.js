// What part of a timeline is looked at, and how wheel, pointer and keys change it. Times are milliseconds.

const SHORTEST_MS = 2;
const STEP = 1.5;
const SHARE_MOVED = 0.2;
const CLICK_PX = 4;

/** A part of a whole that may still grow: while all of it is shown, what comes is shown too. */
export class View {
  #range = null;
  #changed;
  /** What the pointer is being drawn over, before it is let go; null else. */
  selection = null;

  constructor(changed) {
    this.#changed = changed;
  }

  get isWhole() {
    return this.#range === null;
  }

  range(whole) {
    return this.#range ?? [0, whole];
  }

  show(from, to, whole) {
    const wide = Math.min(Math.max(to - from, SHORTEST_MS), whole);
    const start = Math.min(Math.max(0, from), whole - wide);
    this.#range = wide >= whole ? null : [start, start + wide];
    this.#changed();
  }

  zoom(factor, middle, whole) {
    const [from, to] = this.range(whole);
    const at = middle ?? (from + to) / 2;
    this.show(at - (at - from) / factor, at + (to - at) / factor, whole);
  }

  move(share, whole) {
    const [from, to] = this.range(whole);
    const by = (to - from) * share;
    this.show(Math.max(0, from + by), Math.max(0, from + by) + (to - from), whole);
  }

  reset() {
    this.#range = null;
    this.#changed();
  }

  select(selection) {
    this.selection = selection;
    this.#changed();
  }
}

/** Lets a canvas steer a view. `whole()` is all there is; `toMs(x)` what is at a place; `onClick(ms)` for a press. */
export function steer(canvas, view, { whole, toMs, onClick }) {
  canvas.tabIndex = 0;
  canvas.addEventListener("wheel", (event) => wheel(event, view, whole(), toMs), { passive: false });
  canvas.addEventListener("dblclick", () => view.reset());
  canvas.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (act === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    act(view, whole());
    event.preventDefault();
    event.stopPropagation();
  });
  drag(canvas, view, { whole, toMs, onClick });
}

const KEYS = {
  "+": (view, whole) => view.zoom(STEP, null, whole),
  "=": (view, whole) => view.zoom(STEP, null, whole),
  "-": (view, whole) => view.zoom(1 / STEP, null, whole),
  0: (view) => view.reset(),
  ArrowLeft: (view, whole) => view.move(-SHARE_MOVED, whole),
  ArrowRight: (view, whole) => view.move(SHARE_MOVED, whole),
  Home: (view, whole) => view.move(-Infinity, whole),
  End: (view, whole) => view.move(whole, whole),
};

/** Up and down zooms around the pointer, sideways moves. All of it shown and wheeled out: the page scrolls. */
function wheel(event, view, whole, toMs) {
  const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
  if (view.isWhole && (isSideways || event.deltaY > 0)) return;
  event.preventDefault();
  if (isSideways) view.move(Math.sign(event.deltaX || event.deltaY) * SHARE_MOVED, whole);
  else view.zoom(event.deltaY < 0 ? STEP : 1 / STEP, toMs(event.offsetX), whole);
}

/** Drawing over a part shows it; a press without a move is a click. */
function drag(canvas, view, { whole, toMs, onClick }) {
  let begun = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    begun = event.offsetX;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", ({ offsetX }) => {
    if (begun !== null && Math.abs(offsetX - begun) >= CLICK_PX) view.select([toMs(begun), toMs(offsetX)].sort((a, b) => a - b));
  });
  canvas.addEventListener("pointerup", ({ offsetX }) => {
    if (begun === null) return;
    begun = null;
    const { selection } = view;
    view.selection = null;
    if (selection === null) onClick?.(toMs(offsetX));
    else view.show(...selection, whole());
  });
  canvas.addEventListener("pointercancel", () => {
    begun = null;
    view.select(null);
  });
}
