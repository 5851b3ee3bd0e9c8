// Draws records as marks on a time axis that all of them share.

const MIN_SPAN_MS = 2000;
// A pause is named where it is longer than this, and than a part of the axis: an even beat has none worth a word.
const NAMED_SILENCE_MS = 700;
const NAMED_SILENCE_SHARE = 0.16;
const EDGE = 8;

/** The span of the shared axis in milliseconds: the longest record, with a little air on its right. */
export function span(records) {
  return Math.max(MIN_SPAN_MS, ...records.map((record) => record.elapsed * 1.03));
}

/** One record: a mark an arrival, its longest silence by name, a ring where it ended or a cross where it broke. */
export function drawRecord(canvas, record, spanMs, isAccent) {
  const { context, width, height, colour } = prepare(canvas);
  const x = (ms) => EDGE + (ms / spanMs) * (width - 2 * EDGE);
  const base = height - 7.5;
  line(context, colour("--line"), 1, [[x(0), base], [x(spanMs), base]]);
  if (record === null) return;
  const ink = colour(isAccent ? "--accent" : "--ink");
  line(context, ink, 1, [[x(0), base], [x(record.elapsed), base]]);
  drawMarks(context, record, x, base, ink);
  drawSilence(context, record, x, base, spanMs, colour);
  if (!record.isRunning) drawEnd(context, record, x(record.elapsed), base, ink, colour("--raised"));
}

/** The axis: a label each round number of seconds. */
export function drawAxis(canvas, spanMs) {
  const { context, width, colour, font } = prepare(canvas);
  const step = [500, 1000, 2000, 5000, 10000, 20000, 60000].find((ms) => spanMs / ms <= width / 70) ?? 120000;
  context.fillStyle = colour("--faint");
  context.font = `12px ${font}`;
  context.textAlign = "center";
  for (let ms = 0; ms <= spanMs; ms += step) {
    const x = EDGE + (ms / spanMs) * (width - 2 * EDGE);
    line(context, colour("--field"), 1, [[x, 0], [x, 4]]);
    context.fillText(`${ms / 1000} s`, Math.min(Math.max(x, 12), width - 12), 18);
  }
}

function drawMarks(context, record, x, base, ink) {
  // A byte is no inch: the square root keeps a block of 16 KiB and a word of 200 bytes in one picture.
  const tall = (bytes) => Math.min(base - 4, 12 + Math.sqrt(bytes) * 1.3);
  context.beginPath();
  for (const { at, bytes } of record.arrivals) {
    context.moveTo(x(at), base);
    context.lineTo(x(at), base - tall(bytes));
  }
  context.strokeStyle = ink;
  context.lineWidth = 1.75;
  context.stroke();
}

function drawSilence(context, record, x, base, spanMs, colour) {
  const { from, to } = record.silence;
  if (to - from < NAMED_SILENCE_MS || (to - from) / spanMs < NAMED_SILENCE_SHARE) return;
  const y = Math.round(base / 2) + 0.5;
  const words = `${((to - from) / 1000).toFixed(1)} s of silence`;
  context.font = `13px ${getComputedStyle(document.body).fontFamily}`;
  const half = context.measureText(words).width / 2 + 8;
  const middle = (x(from) + x(to)) / 2;
  if (half * 2 > x(to) - x(from) - 12) return;
  const style = colour("--field");
  for (const [start, end] of [[x(from) + 4, middle - half], [middle + half, x(to) - 4]]) {
    line(context, style, 1, [[start, y], [end, y]]);
  }
  line(context, style, 1, [[x(from) + 4, y - 4], [x(from) + 4, y + 4]]);
  line(context, style, 1, [[x(to) - 4, y - 4], [x(to) - 4, y + 4]]);
  context.fillStyle = colour("--soft");
  context.textAlign = "center";
  context.fillText(words, middle, y + 4.5);
}

function drawEnd(context, record, x, base, ink, paper) {
  context.beginPath();
  context.arc(x, base, 4, 0, 2 * Math.PI);
  context.fillStyle = record.outcome === "complete" ? ink : paper;
  context.fill();
  context.strokeStyle = ink;
  context.lineWidth = 1.5;
  context.stroke();
}

function line(context, style, width, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.strokeStyle = style;
  context.lineWidth = width;
  context.stroke();
}

/** A cleared canvas in units of CSS pixels, as sharp as the screen. */
function prepare(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  return { context, width, height, colour, font: getComputedStyle(document.body).fontFamily };
}
