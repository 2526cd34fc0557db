/** Two orders of the same passages, side by side. */

import { grouped } from "./words.js";

/**
 * @typedef {Object} Row A passage that was kept.
 * @property {number} index Of the passage.
 * @property {number} rank After, from 1.
 * @property {number} was Before, from 1.
 * @property {number} moved Places up; negative down.
 * @property {boolean} fresh Whether it was not among the first that are kept.
 */

/**
 * @param {number[]} order The passages before.
 * @param {Object[]} hits What is kept of them after, best first.
 * @param {?number} topN How many may be kept.
 * @returns {{after: Row[], before: {index: number, rank: number, now: ?number}[]}}
 */
export function compare(order, hits, topN) {
  const was = new Map(order.map((index, i) => [index, i + 1]));
  const after = hits.map((hit, i) => ({
    ...hit,
    rank: i + 1,
    was: was.get(hit.index),
    moved: was.get(hit.index) - (i + 1),
    fresh: topN !== null && was.get(hit.index) > topN,
  }));
  const now = new Map(after.map((row) => [row.index, row.rank]));
  const before = order.map((index, i) => ({ index, rank: i + 1, now: now.get(index) ?? null }));
  return { after, before };
}

export const direction = (moved) => (moved > 0 ? "up" : moved < 0 ? "down" : "same");

/** In words, for those who see no arrows. */
export function movement(row, topN) {
  const kind = direction(row.moved);
  const words = kind === "same" ? "unchanged" : `${kind} ${grouped(Math.abs(row.moved))}`;
  return row.fresh ? `${words}, new in the top ${grouped(topN)}` : words;
}

/** How many rose, fell and stayed. */
export function tally(rows) {
  const counts = { up: 0, down: 0, same: 0 };
  for (const row of rows) counts[direction(row.moved)] += 1;
  return counts;
}
