/** The server's answers, and what it says when it has none. */

export class ApiError extends Error {
  /**
   * @param {number} status Of the answer; 0 where there was none.
   * @param {string} message What the server says.
   * @param {?number} retryAfter Seconds after which it is worth while to try again.
   */
  constructor(status, message, retryAfter = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

// In memory only: it is gone with the tab.
let key = "";

export function setKey(given) {
  const trimmed = given.trim();
  if (!/^[\x20-\x7e]+$/.test(trimmed)) {
    throw new ApiError(0, "A key is one line of ASCII characters.");
  }
  key = trimmed;
}

export async function listModels(signal) {
  const { data } = await call("models", { signal });
  if (!Array.isArray(data)) throw new ApiError(0, "The server lists no models.");
  return data;
}

/** @returns {Promise<Object>} The answer, with the round trip in seconds. */
export async function rank(request, signal) {
  const start = performance.now();
  const answer = await call("rank", { body: request, signal });
  const roundTrip = (performance.now() - start) / 1000;
  if (!Array.isArray(answer.hits)) throw new ApiError(0, "The server's answer holds no hits.");
  return { ...answer, roundTrip };
}

export const explain = (request, signal) => call("explain", { body: request, signal });

async function call(path, { body, signal }) {
  const headers = { Accept: "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  let text;
  try {
    // Relative to the page: it may stand behind a proxy, below a path.
    response = await fetch(new URL(path, document.baseURI), {
      method: body ? "POST" : "GET",
      body: body && JSON.stringify(body),
      cache: "no-store",
      headers,
      signal,
    });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached, or it hung up.");
  }
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new ApiError(
      response.status,
      `The server answered ${response.status} ${response.statusText}, but not with JSON.`,
    );
  }
  if (!response.ok) throw refusal(response, answer);
  return answer;
}

function refusal(response, answer) {
  const said = [answer?.message, answer?.error?.message, answer?.error, answer?.detail];
  const message = said.find((one) => typeof one === "string" && one);
  const after = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  return new ApiError(
    response.status,
    message ?? `The server answered ${response.status} ${response.statusText}.`,
    Number.isFinite(after) ? after : null,
  );
}
