// The panel of events: a window of them, which follows the newest, is moved through a long stream, or goes to a text.

import { button, make, put } from "./dom.js";
import { visible } from "./format.js";

const SHOWN = 300;

export function showEvents(panel) {
  const shown = new Shown(panel);
  return (one) => shown.update(one);
}

class Shown {
  #panel;
  #one = null;
  #from = 0;
  #to = 0;
  #isFollowing = true;
  #note = make("p", "range");
  #list = make("ol", "events");
  #find = make("input", "");
  #moves;
  #bar;

  constructor(panel) {
    this.#panel = panel;
    const move = (label, to) => button(label, () => this.#move(to()));
    this.#moves = [
      move("First", () => 0), move("Earlier", () => this.#from - SHOWN),
      move("Later", () => this.#from + SHOWN), move("Newest", () => Infinity),
    ];
    this.#find.type = "search";
    this.#find.placeholder = "Find (Enter: next)";
    this.#find.setAttribute("aria-label", "Find in events");
    this.#find.addEventListener("keydown", (event) => event.key === "Enter" && this.#next(event.shiftKey ? -1 : 1));
    this.#note.setAttribute("role", "status");
    this.#bar = make("div", "tools", this.#find, this.#note, make("div", "zoom", ...this.#moves));
    panel.replaceChildren(this.#bar, this.#list);
  }

  update(one) {
    this.#one = one;
    const count = one.events.length;
    if (count < this.#to) this.#show(0, 0);
    if (this.#isFollowing && count > this.#to) this.#append(count);
    this.#tell();
  }

  #append(count) {
    const { scrollHeight, scrollTop, clientHeight } = this.#panel;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 40;
    const first = Math.max(this.#to, count - SHOWN);
    for (let at = first; at < count; at += 1) this.#list.append(this.#row(at));
    while (this.#list.childElementCount > SHOWN) this.#list.firstChild.remove();
    this.#to = count;
    this.#from = count - this.#list.childElementCount;
    if (isAtEnd && this.#one.isOpen) this.#panel.scrollTop = this.#panel.scrollHeight;
  }

  #show(from, to) {
    this.#from = from;
    this.#to = to;
    this.#list.replaceChildren();
    for (let at = from; at < to; at += 1) this.#list.append(this.#row(at));
  }

  #move(wanted) {
    const count = this.#one.events.length;
    const from = Math.max(0, Math.min(wanted, count - SHOWN));
    this.#show(from, Math.min(count, from + SHOWN));
    this.#isFollowing = this.#to === count;
    this.#panel.scrollTop = wanted === Infinity ? this.#panel.scrollHeight : 0;
    this.#tell();
  }

  /** Goes to the next event that holds the text, from the one that was found last. */
  #next(step) {
    const { events } = this.#one;
    const text = this.#find.value.toLowerCase();
    if (!text || !events.length) return;
    const before = this.#list.querySelector(".found");
    const begin = before === null ? (step > 0 ? -1 : events.length) : Number(before.dataset.index);
    for (let count = 1; count <= events.length; count += 1) {
      const at = (begin + step * count + 2 * events.length) % events.length;
      if (`${events[at].name} ${events[at].text}`.toLowerCase().includes(text)) return this.#goTo(at);
    }
    put(this.#note, "not found");
  }

  #goTo(at) {
    if (at < this.#from || at >= this.#to) this.#move(at - SHOWN / 2);
    this.#list.querySelector(".found")?.classList.remove("found");
    const row = this.#list.children[at - this.#from];
    row.classList.add("found");
    row.scrollIntoView({ block: "center" });
  }

  #tell() {
    const count = this.#one.events.length;
    for (const element of this.#moves) element.hidden = count <= SHOWN;
    this.#find.hidden = !count;
    const said = count > SHOWN ? `${this.#from + 1} to ${this.#to} of ${count}` : `${count} events`;
    put(this.#note, count ? said : "No events: this is no stream of frames, or none has come yet.");
  }

  #row(index) {
    const event = this.#one.events[index];
    const moment = make("span", "moment", `${index + 1}`, make("b", "", `+${event.at_ms.toFixed(1)} ms`));
    const name = make("span", "name", visible(event.name || "·"), event.first_token ? make("em", "", "first token") : null);
    const row = make("li", "", moment, name, make("pre", "", visible(event.text.trimEnd())));
    row.dataset.index = index;
    return row;
  }
}
