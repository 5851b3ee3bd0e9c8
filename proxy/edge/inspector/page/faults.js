// What the doctor's rules found, the worst first: what is wrong, what shows it, what mends it.

import { make } from "./dom.js";
import { visible } from "./format.js";

export function showFaults(list, one) {
  const text = JSON.stringify(one.faults);
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  list.replaceChildren(...one.faults.map(faultRow));
}

function faultRow({ kind, severity, says, evidence, mend }) {
  const details = make("details", "", make("summary", "", make("b", "", severity), ` ${visible(says)} `, make("code", "", kind)));
  details.append(...lines("seen", evidence), ...lines("mend", mend));
  return make("li", severity, details);
}

function lines(name, found) {
  return found.map((line) => make("p", name, visible(line)));
}
