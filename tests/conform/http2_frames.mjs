// HTTP/2 by hand: frames of any content, and field lists that no client library would send. For ./dev conform framing and edge.
export const kFrame = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, window: 8, continuation: 9 };
export const kEndStream = 1, kEndHeaders = 4;
export const kPreface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export function frame(type, flags, stream, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

// RFC 7541 section 5.1.
function integer(value, bits, pattern) {
  const most = (1 << bits) - 1;
  if (value < most) return [pattern | value];
  const out = [pattern | most];
  for (value -= most; value >= 128; value = Math.floor(value / 128)) out.push((value % 128) | 128);
  return [...out, value];
}
const literal = (text) => {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from(integer(bytes.length, 7, 0)), bytes]);
};
// Literals without indexing and without Huffman's code: the names and values as they are.
export const block = (fields) => Buffer.concat(fields.map(([name, value]) => Buffer.concat([Buffer.from([0]), literal(name), literal(value)])));

// Whole frames of `bytes`, and what is left.
export function framesOf(bytes) {
  const frames = [];
  let at = 0;
  while (bytes.length - at >= 9) {
    const size = bytes.readUIntBE(at, 3);
    if (bytes.length - at - 9 < size) break;
    frames.push({ type: bytes[at + 3], flags: bytes[at + 4], stream: bytes.readUInt32BE(at + 5) & 0x7fffffff, payload: bytes.subarray(at + 9, at + 9 + size) });
    at += 9 + size;
  }
  return { frames, rest: bytes.subarray(at) };
}

// :status, which is the first of an answer's fields: from the static table, or three digits, as they are or in Huffman's code.
const kStatic = { 8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500 };
export function statusOf(payload) {
  let at = 0;
  while (at < payload.length && payload[at] >> 5 === 1) at += 1; // sizes of the dynamic table, below 31
  const first = payload[at];
  if (first & 0x80) return kStatic[first & 0x7f] ?? 0;
  if (![8, 9, 10, 11, 12, 13, 14].includes(first & (first & 0x40 ? 0x3f : 0x0f))) return 0;
  const size = payload[at + 1] & 0x7f, bytes = payload.subarray(at + 2, at + 2 + size);
  if ((payload[at + 1] & 0x80) === 0) return Number(bytes.toString());
  let bits = "", digits = "";
  for (const byte of bytes) bits += byte.toString(2).padStart(8, "0");
  while (digits.length < 3 && bits.length >= 5) {
    const short = Number.parseInt(bits.slice(0, 5), 2), long = Number.parseInt(bits.slice(0, 6), 2);
    if (short <= 2) digits += short;
    else if (long >= 0x19 && long <= 0x1f) digits += long - 0x19 + 3;
    else return 0;
    bits = bits.slice(short <= 2 ? 5 : 6);
  }
  return Number(digits);
}
