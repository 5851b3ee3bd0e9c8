// The only way anything enters the page: elements by name, contents as text. There is no markup from outside.

export const byId = (id) => document.getElementById(id);

/** An element with a class and children; a child that is a string becomes a text node. */
export function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function button(label, act, title) {
  const element = make("button", "", label);
  element.type = "button";
  if (title) element.title = title;
  element.addEventListener("click", act);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Puts text into an element if it is not there yet. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
