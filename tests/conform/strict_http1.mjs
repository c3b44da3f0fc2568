// What an application may be sent, by the grammar of RFC 9112 and nothing more lenient: written for the oracle of ./dev conform framing,
// apart from wary's own parser.
const kToken = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// RFC 3986: pchar, "/" and "?", percent signs with their two digits.
const kTarget = /^\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*$/;
// Visible bytes, SP, HTAB and obs-text; neither begins nor ends with white space.
const kValue = /^(?:[\x21-\x7e\x80-\xff](?:[\x20\t\x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;
const kHost = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2}|\[[0-9A-Fa-f:.]+\])+(?::\d{1,5})?$/;

class Garbage extends Error {}
const need = (held, what) => {
  if (!held) throw new Garbage(what);
};

// The bytes of one connection (latin1 text): its whole requests, what is begun of the next one, and the first thing that no sender may
// write. `lenient`: what a client may write but we never should (leading zeros, chunk extensions, white space, upper case).
export function parseRequests(text, { lenient = false } = {}) {
  const requests = [];
  let at = 0;
  try {
    while (at < text.length) {
      const one = parseOne(text, at, lenient);
      if (one === null) return { requests, begun: text.slice(at), garbage: null };
      requests.push(one.request);
      at = one.end;
    }
  } catch (error) {
    if (!(error instanceof Garbage)) throw error;
    return { requests, begun: text.slice(at), garbage: error.message };
  }
  return { requests, begun: "", garbage: null };
}

function parseOne(text, begin, lenient) {
  if (lenient && text.startsWith("\r\n", begin)) begin += 2;
  const end = text.indexOf("\r\n\r\n", begin);
  const head = text.slice(begin, end < 0 ? text.length : end);
  need(!/(^|[^\r])\n|\r(?!\n|$)/.test(head), "a bare CR or LF");
  if (end < 0) return null;
  const [line, ...lines] = head.split("\r\n");
  const words = line.split(" ");
  need(words.length === 3 && kToken.test(words[0]) && kTarget.test(words[1]) && words[2] === "HTTP/1.1", `a request line ${JSON.stringify(line)}`);
  const fields = lines.map((one) => fieldOf(one, lenient));
  const named = (name) => fields.filter(([key]) => key === name).map(([, value]) => value);
  need(named("host").length === 1 && kHost.test(named("host")[0]), "not one Host");
  const lengths = named("content-length"), codings = named("transfer-encoding");
  need(lengths.length + codings.length <= 1, "two framings");
  const request = { method: words[0], target: words[1], fields, body: "", trailers: [] };
  if (codings.length === 1) {
    need(codings[0] === "chunked" || (lenient && codings[0].toLowerCase() === "chunked"), `a coding ${codings[0]}`);
    const stop = chunks(text, end + 4, request, lenient);
    return stop === null ? null : { request, end: stop };
  }
  const length = lengths[0] ?? "0";
  need(lenient ? /^\d+$/.test(length) : /^(0|[1-9]\d{0,17})$/.test(length), `a length ${length}`);
  const stop = end + 4 + Number(length);
  if (text.length < stop) return null;
  request.body = text.slice(end + 4, stop);
  return { request, end: stop };
}

function fieldOf(line, lenient) {
  const colon = line.indexOf(":");
  need(colon > 0 && kToken.test(line.slice(0, colon)), `a field ${JSON.stringify(line)}`);
  let value = line.slice(colon + 1);
  if (lenient) value = value.replace(/^[ \t]+|[ \t]+$/g, "");
  else value = value.replace(/^ /, "");
  need(kValue.test(value), `a value ${JSON.stringify(line)}`);
  return [line.slice(0, colon).toLowerCase(), value];
}

// Where the body ends, or null when it is not whole.
function chunks(text, at, request, lenient) {
  for (;;) {
    const end = text.indexOf("\r\n", at);
    const line = text.slice(at, end < 0 ? text.length : end);
    const size = lenient ? /^([0-9A-Fa-f]{1,16})(?:;.*)?$/ : /^(0|[1-9a-fA-F][0-9a-fA-F]{0,15})$/;
    need(end >= 0 || /^[0-9A-Fa-f]*\r?$/.test(line) || lenient, `a chunk's size ${JSON.stringify(line)}`);
    if (end < 0) return null;
    need(size.test(line), `a chunk's size ${JSON.stringify(line)}`);
    const count = Number.parseInt(size.exec(line)[1], 16);
    at = end + 2;
    if (count === 0) break;
    if (text.length < at + count + 2) return null;
    request.body += text.slice(at, at + count);
    need(text.slice(at + count, at + count + 2) === "\r\n", "a chunk that does not end where it says");
    at += count + 2;
  }
  for (;;) {
    const end = text.indexOf("\r\n", at);
    if (end < 0) return null;
    const line = text.slice(at, end);
    at = end + 2;
    if (line === "") return at;
    request.trailers.push(fieldOf(line, lenient));
  }
}
