/** Numbers and texts as the page shows them. */

const GROUPED = new Intl.NumberFormat("en");
// They would turn the rest of a line around.
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;
// Controls, but not white space.
const UNPRINTABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]/g;

/** With a real minus sign, and no minus before zero. */
export function number(value, digits = 3) {
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) ? `\u2212${text}` : text;
}

export function counted(n, one, many = `${one}s`) {
  return `${GROUPED.format(n)} ${n === 1 ? one : many}`;
}

export const grouped = (n) => GROUPED.format(n);

export function duration(seconds) {
  const ms = seconds * 1000;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  return ms < 999.5 ? `${ms.toFixed(0)} ms` : `${GROUPED.format(Number(seconds.toFixed(2)))} s`;
}

export const printable = (text) => text.replace(UNPRINTABLE, "\ufffd");

/** On one line, cut where it is longer. */
export function oneLine(text, length = 24) {
  // Of a very long text only the beginning matters.
  const line = printable(text.slice(0, length * 8)).replace(TURNING, "").replace(/\s+/g, " ").trim();
  const short = Array.from(line);
  if (short.length <= length && text.length <= length * 8) return line;
  return `${short.slice(0, length - 1).join("")}…`;
}

/** The beginning of a text, cut between characters, at a space if one is near. */
export function beginning(text, length = 400) {
  if (text.length <= length) return printable(text);
  const cut = Array.from(text.slice(0, length + 1)).slice(0, -1).join("");
  const space = cut.lastIndexOf(" ");
  return `${printable(space > length - 40 ? cut.slice(0, space) : cut)} …`;
}
