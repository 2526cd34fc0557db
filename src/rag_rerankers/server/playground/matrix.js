/** Which rows and columns of an explanation are looked at, and how warm they are. */

// Nobody compares more of them by eye, and each is a node.
const MOST_ROWS = 64;
const MOST_COLUMNS = 128;

export class Matrix {
  /**
   * @param {Object} explanation The server's answer.
   * @param {{filling: boolean, all: boolean}} shown Rows that only fill up the query; columns that
   *     no query token matched.
   */
  constructor(explanation, { filling, all }) {
    const { query_tokens: asked, tokens, similarities, matches } = explanation;
    this.similarities = similarities;
    this.best = matches.map((match) => match.token);
    this.rows = strongest(
      asked.flatMap((token, i) => (filling || token.kind !== "expansion" ? [i] : [])),
      MOST_ROWS,
      (i) => matches[i].similarity,
    );
    this.warmth = tokens.map((_, j) => this.#warmest(j));
    const matched = new Set(this.rows.map((i) => this.best[i]));
    const candidates = tokens.flatMap((_, j) =>
      this.warmth[j] !== null && (all || matched.has(j)) ? [j] : [],
    );
    this.columns = strongest(candidates, MOST_COLUMNS, (j) => this.warmth[j]);
    this.left = candidates.length - this.columns.length;
    const values = this.rows.flatMap((i) => similarities[i].filter((value) => value !== null));
    this.lowest = values.reduce((a, b) => Math.min(a, b), Infinity);
    this.highest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  }

  /** Between the lowest and the highest similarity, 0 to 1; null where there is none. */
  heat(value) {
    if (value === null) return null;
    const range = this.highest - this.lowest;
    return range > 0 ? (value - this.lowest) / range : 1;
  }

  /** The best similarity of a token of the text to the rows; null if nothing can match it. */
  #warmest(j) {
    let best = null;
    for (const i of this.rows) {
      const value = this.similarities[i][j];
      if (value !== null && (best === null || value > best)) best = value;
    }
    return best;
  }
}

function strongest(candidates, most, strength) {
  if (candidates.length <= most) return candidates;
  const sorted = [...candidates].sort((a, b) => strength(b) - strength(a));
  return sorted.slice(0, most).sort((a, b) => a - b);
}
