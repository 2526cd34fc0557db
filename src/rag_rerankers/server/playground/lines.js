/** Lines from where passages stood to where they stand. */

import { svg } from "./dom.js";
import { direction } from "./ranking.js";

/**
 * Draw what can be seen of both lists.
 *
 * @param {SVGElement} canvas Between the two.
 * @param {Map<number, HTMLElement>} before Rows by passage.
 * @param {Map<number, HTMLElement>} after Rows by passage.
 * @param {Object[]} rows Of the ranking after.
 */
export function drawLines(canvas, before, after, rows) {
  const frame = canvas.getBoundingClientRect();
  canvas.replaceChildren();
  if (!frame.width) return; // one list below the other: nothing between them
  const middle = (node) => {
    const box = node.getBoundingClientRect();
    return box.top + box.height / 2 - frame.top;
  };
  const half = frame.width / 2;
  for (const row of rows) {
    const [from, to] = [before.get(row.index), after.get(row.index)];
    if (!from && !to) continue;
    // Where one end is not painted yet the line leaves at the bottom.
    const [start, end] = [from, to].map((node) => (node ? middle(node) : frame.height));
    const line = svg("path", {
      class: `${direction(row.moved)}${from && to ? "" : " partial"}`,
      d: `M0 ${start}C${half} ${start} ${half} ${end} ${frame.width} ${end}`,
      "data-index": row.index,
    });
    canvas.append(line);
  }
}
