/** Passages out of what was pasted, and out of files. */

const LARGEST = 64 * 1024 * 1024;

/** A passage per line, or blank lines between passages; what is empty is none. */
export function split(text, separator) {
  const parts = separator === "blank" ? text.split(/(?:\r?\n[^\S\r\n]*){2,}/) : text.split(/\r?\n|\r/);
  return parts.map((part) => part.trim()).filter(Boolean);
}

/**
 * The passages of a file.
 *
 * @returns {Promise<string[]>}
 * @throws {Error} Says what is wrong, and where.
 */
export async function readFile(file, separator) {
  if (file.size > LARGEST) {
    throw new Error(`${file.name} has ${Math.round(file.size / 2 ** 20)} MB; at most 64 can be read`);
  }
  const text = decode(await file.arrayBuffer(), file.name);
  const texts = parse(text, file.name, separator);
  if (!texts.length) throw new Error(`${file.name} holds no passages`);
  return texts;
}

export function parse(text, name, separator) {
  const ending = name.toLowerCase().match(/\.[^.]*$/)?.[0];
  if (ending === ".jsonl" || ending === ".ndjson") return fromLines(text, name);
  if (ending === ".json") return fromJson(text, name);
  if (ending === ".csv") return fromTable(csv(text), name);
  return split(text, separator);
}

function decode(buffer, name) {
  const [first, second] = new Uint8Array(buffer, 0, Math.min(2, buffer.byteLength));
  const marked = { "255,254": "utf-16le", "254,255": "utf-16be" }[`${first},${second}`];
  try {
    return new TextDecoder(marked ?? "utf-8", { fatal: true }).decode(buffer);
  } catch {
    throw new Error(`${name} is not UTF-8: save it as UTF-8 text`);
  }
}

function textOf(value, where) {
  const text = typeof value === "string" ? value : value?.text;
  if (typeof text === "string") return text;
  throw new Error(`${where}: neither a string nor an object with a "text"`);
}

function fromLines(text, name) {
  const texts = [];
  text.split(/\r?\n/).forEach((line, i) => {
    if (!line.trim()) return;
    const where = `${name}, line ${i + 1}`;
    let value;
    try {
      value = JSON.parse(line);
    } catch {
      throw new Error(`${where}: not JSON`);
    }
    texts.push(textOf(value, where));
  });
  return texts;
}

function fromJson(text, name) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${name} is not JSON: ${error.message}`);
  }
  const list = [value, value?.texts, value?.documents, value?.passages].find(Array.isArray);
  if (!list) throw new Error(`${name} holds no list of strings, or of objects with a "text"`);
  return list.map((one, i) => textOf(one, `${name}, item ${i + 1}`));
}

function fromTable(rows, name) {
  const [headings = [], ...body] = rows;
  const column = headings.findIndex((heading) => heading.trim().toLowerCase() === "text");
  if (column >= 0) return body.map((row) => row[column] ?? "").filter((text) => text.trim());
  if (headings.length === 1) return rows.map(([text]) => text).filter((text) => text.trim());
  throw new Error(`${name} has no column "text", but ${headings.join(", ").slice(0, 80)}`);
}

/** Rows of cells; quoted cells may hold commas, line breaks and doubled quotes. */
export function csv(text) {
  const cells = /(?:"((?:[^"]|"")*)"|((?!")[^,\r\n]*))(,|\r\n|\n|\r|$)/gy;
  const rows = [[]];
  while (cells.lastIndex < text.length) {
    const found = cells.exec(text);
    if (!found) throw new Error(`row ${rows.length}: a quote is not closed, or something follows it`);
    const [, quoted, bare, border] = found;
    rows.at(-1).push(quoted === undefined ? bare : quoted.replaceAll('""', '"'));
    if (border === ",") {
      if (cells.lastIndex === text.length) rows.at(-1).push("");
    } else if (cells.lastIndex < text.length) {
      rows.push([]);
    }
  }
  return rows.filter((row) => row.length > 1 || row[0]);
}
