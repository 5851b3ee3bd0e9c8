// Values as people read them. Everything here returns plain text; nothing here touches the page.

export const OUTCOMES = {
  complete: "complete",
  client_closed: "client left",
  upstream_aborted: "upstream broke off",
  upstream_timeout: "upstream timed out",
  client_stalled: "client stalled",
  refused: "refused",
  tunnel_closed: "tunnel closed",
  drained: "cut by a stop",
};
const PHASES = { plan: "deciding", upload: "uploading", waiting: "waiting", body: "streaming" };
const BAD = new Set(["upstream_aborted", "upstream_timeout", "client_stalled", "refused", "drained"]);

export function duration(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(2)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** A moment, as exactly as a span of that length asks for. */
export function moment(ms, spanMs) {
  return spanMs < 2000 ? `${Number(ms.toFixed(spanMs < 100 ? 1 : 0))} ms` : `${(ms / 1000).toFixed(2)} s`;
}

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  return count < 1024 * 1024 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / 1024 / 1024).toFixed(1)} MiB`;
}

/** The time of day of a timestamp, in the zone of whoever looks. */
export function clock(timestamp) {
  const date = new Date(timestamp);
  const two = (number) => String(number).padStart(2, "0");
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

/** How an exchange stands: while it is open its phase, then its outcome or what its dialect says of it. */
export function standing(one) {
  if (one.open) return one.phase === "body" && !one.stream ? "sending" : PHASES[one.phase] ?? "open";
  if (one.outcome === "complete" && (one.verdict === "failed" || one.verdict === "truncated")) return one.verdict;
  return OUTCOMES[one.outcome] ?? (one.code === "worker_ended" ? "worker ended" : one.outcome);
}

/** Which of four kinds that is: open, bad, left, fine. */
export function kind(one) {
  if (one.open) return "open";
  if (BAD.has(one.outcome) || one.outcome === null || one.verdict === "failed" || one.verdict === "truncated" || one.status >= 500) return "bad";
  return one.outcome === "client_closed" || one.status >= 400 ? "left" : "fine";
}

export function tokens(one) {
  return one.output_tokens === null || one.output_tokens === undefined ? "" : String(one.output_tokens);
}

/** Whose doing a failure is comes first; then what it was. */
export function sentence(one) {
  const parts = [standing(one)];
  if (one.code === "worker_ended") parts.push("its worker process is gone, and with it all that was copied");
  else if (one.code) parts.push(one.code);
  if (one.stalled_on) parts.push(`longest wait: ${one.stalled_on}`);
  if (one.limited) parts.push("cut off by a limit on its length");
  if (one.read_on) parts.push("read on after the client had left");
  return parts.join(", ");
}

/** Control characters and what turns the direction of text or hides in it, as visible escapes; ends of lines stay. */
export function visible(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (character) => {
    const code = character.codePointAt(0);
    return code === 13 ? "\\r" : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** JSON with line breaks and indents; anything else as it is. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
