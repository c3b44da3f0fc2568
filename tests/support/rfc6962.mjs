// A small verifier of a log that was exported as static tlog-tiles: written from RFC 6962 section 2, c2sp.org/tlog-tiles and
// c2sp.org/signed-note alone. It reads the entries, never the hash tiles, and makes every root itself.
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const leafHash = (entry) => sha256(Buffer.from([0]), entry);
const nodeHash = (left, right) => sha256(Buffer.from([1]), left, right);

// "name+id+base64(1 || key)"
export function parseVkey(text) {
  const [name, id, encoded] = text.trim().split("+").length > 3 ? splitFirst(text.trim()) : text.trim().split("+");
  const typed = Buffer.from(encoded, "base64");
  const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), typed.subarray(1)]);
  const expected = sha256(Buffer.from(`${name}\n`), typed).subarray(0, 4).toString("hex");
  if (typed.length !== 33 || typed[0] !== 1 || expected !== id) throw new Error("this is no key of a log");
  return { name, id, key: createPublicKey({ key: spki, format: "der", type: "spki" }) };
}
// Base64 may hold a plus sign itself.
function splitFirst(text) {
  const first = text.indexOf("+");
  const second = text.indexOf("+", first + 1);
  return [text.slice(0, first), text.slice(first + 1, second), text.slice(second + 1)];
}

// A signed checkpoint: its size and root, once the signature and the origin are this log's.
export function openCheckpoint(note, vkey) {
  const end = note.indexOf("\n\n") + 1;
  const text = note.slice(0, end);
  const [origin, size, root] = text.split("\n");
  if (origin !== vkey.name) throw new Error(`a checkpoint of another log: ${origin}`);
  const signed = note.slice(end + 1).split("\n").some((line) => {
    const [dash, name, encoded] = line.split(" ");
    if (dash !== "\u2014" || name !== vkey.name) return false;
    const bytes = Buffer.from(encoded, "base64");
    return bytes.subarray(0, 4).toString("hex") === vkey.id && verify(null, Buffer.from(text), vkey.key, bytes.subarray(4));
  });
  if (!signed) throw new Error("a checkpoint without this log's signature");
  return { size: Number(size), root };
}

const tileName = (index) => {
  let path = String(index % 1000).padStart(3, "0");
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) path = `x${String(rest % 1000).padStart(3, "0")}/${path}`;
  return path;
};
export function readEntries(directory, size) {
  const entries = [];
  for (let tile = 0; entries.length < size; ++tile) {
    const width = Math.min(256, size - entries.length);
    const path = join(directory, "tile/entries", tileName(tile) + (width < 256 ? `.p/${width}` : ""));
    const bytes = readFileSync(path);
    let at = 0;
    for (let i = 0; i < width; ++i) {
      const length = bytes.readUInt16BE(at);
      entries.push(bytes.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
    if (at !== bytes.length) throw new Error(`${path}: bytes after the last entry`);
  }
  return entries;
}

// The roots of the tree at these sizes, made by appending.
export function rootsAt(entries, sizes) {
  const wanted = new Set(sizes);
  const roots = new Map();
  const stack = []; // of complete subtrees, {hash, leaves}, falling
  const root = () => (stack.length === 0 ? sha256() : stack.slice(0, -1).reduceRight((right, { hash }) => nodeHash(hash, right), stack.at(-1).hash));
  if (wanted.has(0)) roots.set(0, root().toString("base64"));
  entries.forEach((entry, index) => {
    stack.push({ hash: leafHash(entry), leaves: 1 });
    while (stack.length > 1 && stack.at(-1).leaves === stack.at(-2).leaves) {
      const right = stack.pop();
      const left = stack.pop();
      stack.push({ hash: nodeHash(left.hash, right.hash), leaves: left.leaves * 2 });
    }
    if (wanted.has(index + 1)) roots.set(index + 1, root().toString("base64"));
  });
  return roots;
}

// That every checkpoint is signed, no smaller than the one before, and of a prefix of this one log. The entries.
export function verifyLog(directory, vkeyText, notes = []) {
  const vkey = parseVkey(vkeyText);
  const last = openCheckpoint(readFileSync(join(directory, "checkpoint"), "utf8"), vkey);
  const heads = notes.map((note) => openCheckpoint(note, vkey));
  const entries = readEntries(directory, last.size);
  const roots = rootsAt(entries, [...heads, last].map((head) => head.size));
  let before = 0;
  for (const head of [...heads, last]) {
    if (head.size < before) throw new Error(`a checkpoint of ${head.size} entries came after one of ${before}`);
    if (roots.get(head.size) !== head.root) throw new Error(`the checkpoint of ${head.size} entries is not of a prefix of this log`);
    before = head.size;
  }
  return { entries, size: last.size };
}
