// The timeline: what came from upstream above, what went to the client below, and between them who was waited for.

// Room for the names of the lanes on the left, and for the last label on the right.
const LEFT = 92;
const RIGHT = 20;
const LANES = { upstream: 30, client: 78 };
const AXIS = 100;
export const HEIGHT = 120;
const NAMED_WAIT_SHARE = 0.09;
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 120_000, 300_000, 600_000];

/** Draws one exchange over a span of milliseconds that several may share. */
export function draw(canvas, one, spanMs) {
  const context = prepare(canvas);
  if (context === null) return;
  const { width } = context.size;
  const x = (ms) => LEFT + (Math.max(0, ms) / spanMs) * (width - LEFT - RIGHT);
  drawAxis(context, x, spanMs, width);
  drawWaits(context, one, x, spanMs, width);
  drawLane(context, "from upstream", LANES.upstream, x, one);
  drawLane(context, "to client", LANES.client, x, one);
  drawPieces(context, one, x);
  drawNames(context, one, x, width);
  drawEnd(context, one, x);
}

/** What is at a place of the picture, in words. */
export function at(canvas, one, spanMs, offsetX) {
  const width = canvas.clientWidth;
  const ms = Math.max(0, ((offsetX - LEFT) / (width - LEFT - RIGHT)) * spanMs);
  const wait = one.waits.find(([since, until]) => since <= ms && ms <= until && until - since > spanMs / 200);
  let nearest = null;
  for (const mark of one.marks) if (nearest === null || Math.abs(mark[1] - ms) < Math.abs(nearest[1] - ms)) nearest = mark;
  const parts = [`${ms.toFixed(0)} ms`];
  if (wait) parts.push(`waited for the ${wait[2]}: ${(wait[1] - wait[0]).toFixed(0)} ms`);
  if (nearest) parts.push(`${WORDS[nearest[0]]} at ${nearest[1].toFixed(1)} ms${nearest[3] ? `, ${nearest[3]} bytes` : ""}`);
  return parts.join("; ");
}

const WORDS = {
  asked: "request went upstream",
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

function drawAxis(context, x, spanMs, width) {
  const step = STEPS.find((ms) => (ms / spanMs) * (width - LEFT - RIGHT) >= 64) ?? spanMs;
  context.textAlign = "center";
  context.font = context.small;
  for (let ms = 0; ms <= spanMs; ms += step) {
    context.fillStyle = context.colour("--line");
    context.fillRect(x(ms), 8, 1, AXIS - 8);
    context.fillStyle = context.colour("--faint");
    const label = step >= 1000 ? `${ms / 1000} s` : `${ms} ms`;
    context.fillText(label, Math.min(x(ms), width - 18), AXIS + 13);
  }
}

function drawWaits(context, one, x, spanMs, width) {
  const open = openWait(one);
  for (const [since, until, side, isStall] of open ? [...one.waits, open] : one.waits) {
    const from = x(since);
    const wide = Math.max(1, x(until) - from);
    context.globalAlpha = isStall ? 0.9 : 0.32;
    context.fillStyle = context.colour(`--${side}`);
    context.fillRect(from, LANES.upstream + 8, wide, LANES.client - LANES.upstream - 16);
    context.globalAlpha = 1;
    if (!isStall && (until - since) / spanMs < NAMED_WAIT_SHARE) continue;
    const label = `${side} ${((until - since) / 1000).toFixed(until - since < 10_000 ? 2 : 1)} s`;
    context.font = context.small;
    context.textAlign = "center";
    if (wide < context.measureText(label).width + 8) continue;
    context.fillStyle = context.colour(isStall ? "--on-stall" : "--ink");
    context.fillText(label, Math.min(from + wide / 2, width - 30), (LANES.upstream + LANES.client) / 2 + 4);
  }
}

function drawLane(context, name, y, x, one) {
  context.fillStyle = context.colour("--field");
  context.fillRect(x(0), y, Math.max(1, x(one.elapsed) - x(0)), 1);
  context.font = context.small;
  context.textAlign = "left";
  context.fillStyle = context.colour("--soft");
  context.fillText(name, 2, y + 4);
}

/** A tick a piece; thousands on one pixel are one tick. */
function drawPieces(context, one, x) {
  const drawn = { upstream: -1, client: -1 };
  context.fillStyle = context.colour("--accent");
  for (const [kind, at, took, size] of one.marks) {
    if (!size || kind === "upload") continue;
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

/** Names the request, the head and the first token, where they do not stand upon each other. */
function drawNames(context, one, x, width) {
  const token = one.events.find((event) => event.first_token);
  const head = one.marks.find(([kind]) => kind === "answered");
  const named = [
    head ? [head[1], "head"] : null,
    token ? [token.at_ms, `first token ${token.at_ms < 1000 ? `${Math.round(token.at_ms)} ms` : `${(token.at_ms / 1000).toFixed(2)} s`}`] : null,
  ];
  let free = LEFT - 20;
  context.font = context.small;
  context.textAlign = "left";
  for (const [ms, label] of named.filter(Boolean)) {
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
