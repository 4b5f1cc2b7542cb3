// Making nodes once, and changing them afterwards: a move must remove no node and add none.

export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  put(element, attributes);
  element.append(...children);
  return element;
}

// Set attributes, and touch only those that differ; null removes one.
export function put(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
}

// Set an element's text in the text node that it already has.
export function say(element, text) {
  if (!element.firstChild) element.append("");
  if (element.firstChild.data !== text) element.firstChild.data = text;
}

let identities = 0;

export function identity(prefix) {
  identities += 1;
  return `dpo-teach-${prefix}-${identities}`;
}
