// The timeline: what came from upstream above, what went to the client below, and between them who was waited for.

// Room for the names of the lanes on the left, and for the last label on the right.
const LEFT = 92;
const RIGHT = 20;
const LANES = { upstream: 30, client: 78 };
const AXIS = 100;
export const HEIGHT = 120;
const NAMED_WAIT_SHARE = 0.09;
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 120_000, 300_000, 600_000];

/** Draws the part of an exchange between two moments, which several may share; `selection` is shaded. */
export function draw(canvas, one, [from, to], selection = null) {
  const context = prepare(canvas);
  if (context === null) return;
  const { width } = context.size;
  const inner = width - LEFT - RIGHT;
  const spanMs = to - from;
  const x = (ms) => LEFT + ((Math.max(0, ms) - from) / spanMs) * inner;
  const shown = { x, from, to, spanMs, width };
  drawAxis(context, shown);
  context.save();
  context.beginPath();
  context.rect(LEFT - 1, 0, inner + RIGHT, HEIGHT);
  context.clip();
  if (selection) drawSelection(context, selection, x);
  drawWaits(context, one, shown);
  for (const lane of ["upstream", "client"]) drawLane(context, LANES[lane], x, one);
  drawPieces(context, one, shown);
  drawNames(context, one, shown);
  drawEnd(context, one, x);
  context.restore();
  context.fillStyle = context.colour("--soft");
  context.textAlign = "left";
  context.fillText("from upstream", 2, LANES.upstream + 4);
  context.fillText("to client", 2, LANES.client + 4);
}

/** The moment at a place of the picture. */
export function momentAt(canvas, [from, to], offsetX) {
  return Math.max(0, from + ((offsetX - LEFT) / (canvas.clientWidth - LEFT - RIGHT)) * (to - from));
}

/** What is at a moment, in words. */
export function at(one, ms, spanMs) {
  const wait = one.waits.find(([since, until]) => since <= ms && ms <= until && until - since > spanMs / 200);
  let nearest = null;
  for (const mark of one.marks) if (nearest === null || Math.abs(mark[1] - ms) < Math.abs(nearest[1] - ms)) nearest = mark;
  const parts = [`${ms.toFixed(spanMs < 100 ? 2 : 0)} ms`];
  if (wait) parts.push(`waited for the ${wait[2]}: ${(wait[1] - wait[0]).toFixed(0)} ms`);
  if (nearest) parts.push(`${WORDS[nearest[0]]} at ${nearest[1].toFixed(1)} ms${nearest[3] ? `, ${nearest[3]} bytes` : ""}`);
  return parts.join("; ");
}

const WORDS = {
  asked: "request went upstream",
  interim: "interim answer",
  trailers: "trailers",
  answered: "head of the answer",
  upload: "body of the request",
  both: "piece",
  read: "piece from upstream",
  wrote: "piece to the client",
  paused: "client full",
  resumed: "client caught up",
};

/** Seconds waited for each side, the wait that is still going on included. */
export function waited(one) {
  const totals = { upstream: 0, client: 0, proxy: 0 };
  for (const [since, until, side] of one.waits) totals[side] += until - since;
  const open = openWait(one);
  if (open) totals[open[2]] += open[1] - open[0];
  return totals;
}

/** The wait that has no end yet; null where the exchange is over or nothing has begun. */
function openWait(one) {
  const last = one.marks.at(-1);
  if (!one.isOpen || last === undefined) return null;
  const since = last[1] + last[2];
  const until = Math.max(one.elapsed, since);
  return [since, until, one.isFull ? "client" : "upstream", until - since >= 1000];
}

function drawAxis(context, { x, from, to, spanMs, width }) {
  const step = STEPS.find((ms) => (ms / spanMs) * (width - LEFT - RIGHT) >= 64) ?? spanMs;
  const digits = step >= 1000 ? 0 : 1;
  context.textAlign = "center";
  context.font = context.small;
  for (let ms = Math.ceil(from / step) * step; ms <= to; ms += step) {
    context.fillStyle = context.colour("--line");
    context.fillRect(x(ms), 8, 1, AXIS - 8);
    context.fillStyle = context.colour("--faint");
    const label = to >= 2000 && step >= 100 ? `${(ms / 1000).toFixed(digits)} s` : `${Number(ms.toFixed(1))} ms`;
    context.fillText(label, Math.min(x(ms), width - 18), AXIS + 13);
  }
}

function drawSelection(context, [from, to], x) {
  context.fillStyle = context.colour("--chosen");
  context.fillRect(x(from), 8, Math.max(1, x(to) - x(from)), AXIS - 8);
}

/** Waits that fall upon the same pixel are drawn once: a long stream has more of them than a screen has pixels. */
function drawWaits(context, one, { x, from, to, spanMs }) {
  const open = openWait(one);
  let drawnTo = -Infinity;
  for (const [since, until, side, isStall] of open ? [...one.waits, open] : one.waits) {
    if (until < from || since > to) continue;
    const left = Math.max(x(since), LEFT);
    const right = Math.max(x(until), left + 1);
    if (right <= drawnTo + 0.25) continue;
    drawnTo = right;
    context.globalAlpha = isStall ? 0.9 : 0.32;
    context.fillStyle = context.colour(`--${side}`);
    context.fillRect(left, LANES.upstream + 8, right - left, LANES.client - LANES.upstream - 16);
    context.globalAlpha = 1;
    if (!isStall && (until - since) / spanMs < NAMED_WAIT_SHARE) continue;
    nameWait(context, [since, until, side, isStall], left, Math.min(right, x(to)));
  }
}

function nameWait(context, [since, until, side, isStall], left, right) {
  const ms = until - since;
  const long = ms < 1000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  context.font = context.small;
  context.textAlign = "center";
  const fitting = [`waited for ${side} ${long}`, `${side} ${long}`, long].find((text) => context.measureText(text).width + 8 <= right - left);
  if (fitting === undefined) return;
  context.fillStyle = context.colour(isStall ? "--on-stall" : "--ink");
  context.fillText(fitting, (left + right) / 2, (LANES.upstream + LANES.client) / 2 + 4);
}

function drawLane(context, y, x, one) {
  context.fillStyle = context.colour("--field");
  const begin = Math.max(LEFT, x(0));
  context.fillRect(begin, y, Math.max(1, x(one.elapsed) - begin), 1);
}

/** A tick a piece; thousands on one pixel are one tick. */
function drawPieces(context, one, { x, from, to }) {
  const drawn = { upstream: -Infinity, client: -Infinity };
  context.fillStyle = context.colour("--accent");
  for (const [kind, at, took, size] of one.marks) {
    if (!size || kind === "upload" || at + took < from || at > to) continue;
    const tall = Math.min(15, 5 + Math.sqrt(size) / 4);
    if (kind !== "wrote") tick(context, drawn, "upstream", x(at), tall);
    if (kind !== "read") tick(context, drawn, "client", x(at + took), tall);
  }
}

function tick(context, drawn, lane, place, tall) {
  if (place - drawn[lane] < 0.75) return;
  drawn[lane] = place;
  const y = LANES[lane];
  context.fillRect(place - 0.75, lane === "upstream" ? y - tall : y, 1.5, tall);
}

/** Names interim answers, the head, the first token and trailers, where they do not stand upon each other. */
function drawNames(context, one, { x, from, to, width }) {
  const token = one.events.find((event) => event.first_token);
  const head = one.marks.find(([kind]) => kind === "answered");
  const trailers = one.marks.find(([kind]) => kind === "trailers");
  const named = [
    ...one.interim.map(({ at_ms: at, came }) => [at, came.split(" ")[1]]),
    head ? [head[1], "head"] : null,
    token ? [token.at_ms, `first token ${token.at_ms < 1000 ? `${Math.round(token.at_ms)} ms` : `${(token.at_ms / 1000).toFixed(2)} s`}`] : null,
    trailers ? [trailers[1], "trailers"] : null,
  ].filter((entry) => entry !== null && entry[0] >= from && entry[0] <= to);
  let free = LEFT - 20;
  context.font = context.small;
  context.textAlign = "left";
  for (const [ms, label] of named) {
    const wide = context.measureText(label).width;
    const place = Math.min(Math.max(x(ms) + 3, free), width - wide - 4);
    context.fillStyle = context.colour("--ink");
    context.fillRect(x(ms) - 0.5, 2, 1, LANES.upstream - 2);
    if (place >= free) context.fillText(label, place, 10);
    free = place + wide + 8;
  }
}

function drawEnd(context, one, x) {
  if (one.isOpen || one.summary === null) return;
  const place = x(one.summary.duration_ms);
  const isWhole = one.summary.outcome === "complete" || one.summary.outcome === "tunnel_closed";
  context.strokeStyle = context.colour(isWhole ? "--accent" : "--bad");
  context.lineWidth = 2;
  context.beginPath();
  if (isWhole) {
    context.arc(place, LANES.client, 4, 0, 2 * Math.PI);
  } else {
    context.moveTo(place - 4, LANES.client - 4);
    context.lineTo(place + 4, LANES.client + 4);
    context.moveTo(place + 4, LANES.client - 4);
    context.lineTo(place - 4, LANES.client + 4);
  }
  context.stroke();
}

/** The context of a canvas that is as sharp as the screen, with the page's colours at hand. */
function prepare(canvas) {
  const width = canvas.clientWidth;
  if (!width) return null;
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(HEIGHT * scale)) canvas.height = Math.round(HEIGHT * scale);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, HEIGHT);
  const style = getComputedStyle(canvas);
  context.colour = (name) => style.getPropertyValue(name);
  context.small = `11px ${style.fontFamily}`;
  context.size = { width };
  return context;
}
