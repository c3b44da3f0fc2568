#include "ledger/merkle.h"

#include <doctest/doctest.h>

#include <bit>
#include <cstdio>
#include <filesystem>

#include "codec/json.h"
#include "codec/text.h"
#include "ledger/proof.h"
#include "ledger/segment.h"
#include "ledger/tile.h"
#include "tests/support/archive.h"
#include "tests/support/skip.h"

namespace wary::ledger {
namespace {

// RFC 6962 section 2.1 as it is written: the slow and obvious computation.
Hash slow_root(std::span<const Hash> leaves) {
  if (leaves.empty()) return empty_root();
  if (leaves.size() == 1) return leaves[0];
  const std::size_t left = std::bit_floor(leaves.size() - 1);
  return node_hash(slow_root(leaves.first(left)), slow_root(leaves.subspan(left)));
}

std::vector<Hash> leaves_of(std::size_t count) {
  std::vector<Hash> leaves;
  for (std::size_t i = 0; i < count; ++i) leaves.push_back(leaf_hash(to_bytes("entry " + std::to_string(i))));
  return leaves;
}

NodeReader reader_of(const std::vector<Hash>& leaves) {
  return [&leaves](Node node) -> Result<Hash> {
    const std::size_t width = std::size_t{1} << node.level;
    return slow_root(std::span(leaves).subspan(node.index * width, width));
  };
}

TEST_CASE("roots and every proof agree with the slow computation at all sizes up to 70") {
  const std::vector<Hash> leaves = leaves_of(70);
  const NodeReader read = reader_of(leaves);
  Frontier frontier;
  for (std::size_t size = 0; size <= leaves.size(); ++size) {
    const std::span<const Hash> prefix = std::span(leaves).first(size);
    const Hash root = slow_root(prefix);
    REQUIRE(frontier.root() == root);
    REQUIRE(*root_of(size, read) == root);
    std::vector<Hash> nodes;
    for (const Node node : complete_subtrees(size)) nodes.push_back(*read(node));
    CHECK(Frontier(size, nodes).root() == root);
    for (std::size_t index = 0; index < size; ++index) {
      auto proof = *inclusion_proof(index, size, read);
      REQUIRE(verify_inclusion(proof, index, size, leaves[index], root));
      CHECK_FALSE(verify_inclusion(proof, index, size, leaves[(index + 1) % leaves.size()], root));
      CHECK_FALSE(verify_inclusion(proof, size, size, leaves[index], root));
      if (size > 1) CHECK_FALSE(verify_inclusion(proof, (index + 1) % size, size, leaves[index], root));
      proof.push_back(root);
      CHECK_FALSE(verify_inclusion(proof, index, size, leaves[index], root));
      proof.pop_back();
      if (!proof.empty()) {
        proof.back()[0] ^= 1;
        CHECK_FALSE(verify_inclusion(proof, index, size, leaves[index], root));
        proof.pop_back();
        CHECK_FALSE(verify_inclusion(proof, index, size, leaves[index], root));
      }
    }
    for (std::size_t old_size = size == 0 ? 0 : 1; old_size <= size; ++old_size) {
      const Hash old_root = slow_root(prefix.first(old_size));
      auto proof = *consistency_proof(old_size, size, read);
      REQUIRE(verify_consistency(proof, old_size, size, old_root, root));
      if (old_size > 0 && old_size < size) {
        Hash wrong = old_root;
        wrong[5] ^= 1;
        CHECK_FALSE(verify_consistency(proof, old_size, size, wrong, root));
        proof.front()[0] ^= 1;
        CHECK_FALSE(verify_consistency(proof, old_size, size, old_root, root));
      }
      proof.push_back(root);
      CHECK_FALSE(verify_consistency(proof, old_size, size, old_root, root));
    }
    CHECK_FALSE(verify_consistency({}, size + 1, size, root, root));
    if (size < leaves.size()) frontier.append(leaves[size], [](int, std::uint64_t, const Hash&) {});
  }
}

// The vectors have Go's zero values: an absent hash is empty.
Hash hash_in(const codec::Json& json, bool& well_formed) {
  Hash hash{};
  if (!json.is_string()) {
    well_formed = false;
    return hash;
  }
  const auto bytes = codec::decode_base64(json.as_string());
  if (!bytes.ok() || bytes->size() != hash.size()) {
    well_formed = false;
    return hash;
  }
  std::copy(bytes->begin(), bytes->end(), hash.begin());
  return hash;
}

bool verdict(const codec::Json& test, const std::string& kind) {
  bool well_formed = true;
  std::vector<Hash> proof;
  if (const codec::Json* list = test.find("proof"); list != nullptr && list->is_array()) {
    for (const codec::Json& item : list->items()) proof.push_back(hash_in(item, well_formed));
  }
  const auto number = [&](const char* name) { return static_cast<std::uint64_t>(test.integer_or(name, 0)); };
  const auto hash = [&](const char* name) -> Hash {
    const codec::Json* value = test.find(name);
    return value == nullptr ? hash_in(codec::Json(), well_formed) : hash_in(*value, well_formed);
  };
  if (kind == "consistency") {
    // Some roots are text of another length that only has to be equal or not: any injection into hashes keeps that.
    bool ignored = true;
    const auto root = [&](const char* name) {
      const Hash as_hash = hash_in(*test.find(name), ignored);
      return as_hash == Hash{} ? leaf_hash(as_bytes(test.string_or(name, ""))) : as_hash;
    };
    const Hash a = root("root1"), b = root("root2");
    return well_formed && verify_consistency(proof, number("size1"), number("size2"), a, b);
  }
  const Hash leaf = hash("leafHash"), root = hash("root");
  if (!well_formed) return false;
  if (kind == "inclusion") return verify_inclusion(proof, number("leafIdx"), number("treeSize"), leaf, root);
  // A subtree [start, end) is a tree of its own if it starts at a multiple of the power of two that covers it.
  const std::uint64_t start = number("start"), end = number("end"), index = number("leafIdx");
  if (start >= end || index < start || start % std::bit_ceil(end - start) != 0) return false;
  return verify_inclusion(proof, index - start, end - start, leaf, root);
}

TEST_CASE("the published proof vectors get the verdict they carry") {
  const auto data = test::testdata();
  if (!data) WARY_SKIP("WARY_TESTDATA is not set");
  const test::UnpackedArchive archive(*data + "/detect/tlog/rfc6962_proof_vectors.tar.zst");
  REQUIRE(archive.ok());
  std::size_t cases = 0, other = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(archive.path())) {
    if (!entry.is_regular_file()) continue;
    const std::string path = entry.path().string();
    // Proofs between a subtree and a tree belong to Merkle Tree Certificates, not to RFC 6962: wary makes and takes
    // none.
    if (path.find("/subtreeconsistency/") != std::string::npos) {
      ++other;
      continue;
    }
    const std::string text = *test::read_file(path);
    const auto json = codec::parse_json(text);
    CAPTURE(path);
    if (!json.ok()) {  // sizes of 2^63 and more: no tree of ours is that large, and none of these is to be accepted
      REQUIRE(json.error().code == "json_integer_range");
      CHECK(text.find("\"wantErr\": true") != std::string::npos);
      ++cases;
      continue;
    }
    const bool subtree = path.find("/subtreeinclusion/") != std::string::npos;
    const std::string kind = subtree                                         ? "subtree"
                             : path.find("/inclusion/") != std::string::npos ? "inclusion"
                                                                             : "consistency";
    ++cases;
    CHECK(verdict(*json, kind) == !json->bool_or("wantErr", false));
  }
  CHECK(cases > 180);
  CHECK(cases + other == 252);
  std::printf("[note] %zu proof vectors, %zu of another proof kind left out\n", cases, other);
}

TEST_CASE("tiles of 70,000 leaves are those of the specification's example") {
  const auto tiles = tiles_of(70'000);
  REQUIRE(tiles.size() == 273 + 1 + 1 + 1 + 1);
  CHECK(tiles[272] == Tile{0, 272, 256});
  CHECK(tiles[273] == Tile{0, 273, 112});
  CHECK(tiles[274] == Tile{1, 0, 256});
  CHECK(tiles[275] == Tile{1, 1, 17});
  CHECK(tiles[276] == Tile{2, 0, 1});
  CHECK(tiles_of(0).empty());
  CHECK(tiles_of(256) == std::vector<Tile>{{0, 0, 256}, {1, 0, 1}});
}

TEST_CASE("a tile has one path") {
  CHECK(tile_path({0, 1'234'067, 256}) == "tile/0/x001/x234/067");
  CHECK(tile_path({1, 1, 17}) == "tile/1/001.p/17");
  CHECK(entries_path({0, 273, 112}) == "tile/entries/273.p/112");
  CHECK(entries_path({0, 1000, 256}) == "tile/entries/x001/000");
  for (const char* path : {"tile/0/x001/x234/067", "tile/63/000", "tile/1/001.p/17", "tile/0/999.p/255"}) {
    CHECK(tile_path(*parse_tile_path(path)) == path);
  }
  for (const char* bad :
       {"", "tile", "tile/", "tile/0", "tile/0/", "tile/64/000", "tile/00/000", "tile/0/1", "tile/0/001/",
        "tile/0/x000/001", "tile/0/001/001", "tile/0/x001", "tile/0/001.p/0", "tile/0/001.p/256", "tile/0/001.p/017",
        "tile/-1/001", "tile/0/x999/x999/x999/x999/x999/x999/x999/999"}) {
    CAPTURE(bad);
    const auto tile = parse_tile_path(bad);
    REQUIRE_FALSE(tile.ok());
    CHECK(tile.error().code == "tile_syntax");
  }
}

TEST_CASE("tile and bundle bytes are taken at their exact length only") {
  CHECK(parse_tile(Bytes(64), 2)->size() == 2);
  CHECK(parse_tile(Bytes(63), 2).error().code == "tile_syntax");
  CHECK(parse_tile({}, 0).error().code == "tile_syntax");
  CHECK(parse_tile(Bytes(257 * 32), 257).error().code == "tile_syntax");
  Bytes bundle;
  append_entry(bundle, as_bytes("one"));
  append_entry(bundle, {});
  const auto entries = parse_entries(bundle, 2);
  REQUIRE(entries.ok());
  CHECK(as_text((*entries)[0]) == "one");
  CHECK((*entries)[1].empty());
  CHECK(parse_entries(bundle, 1).error().code == "tile_syntax");
  CHECK(parse_entries(bundle, 3).error().code == "tile_syntax");
  for (std::size_t cut = 0; cut < bundle.size(); ++cut) CHECK_FALSE(parse_entries(ByteView(bundle).first(cut), 2).ok());
}

// The example of c2sp.org/signed-note.
constexpr std::string_view kVkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
constexpr std::string_view kNote =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "\xe2\x80\x94 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

TEST_CASE("the published signed note verifies with its published key, and no altered one does") {
  const auto key = NoteVerifier::parse(kVkey);
  REQUIRE(key.ok());
  CHECK(key->to_vkey() == kVkey);
  const auto note = parse_note(kNote);
  REQUIRE(note.ok());
  CHECK(key->verify(note->text, note->signatures.front().signature));
  CHECK_FALSE(key->verify(note->text + "x", note->signatures.front().signature));
  for (const char* bad : {"", "a+b", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                          "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                          "PeterNeumann+c74f20a3+AhpcxQcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "P+c74f20a3+AQ=="}) {
    CAPTURE(bad);
    CHECK(NoteVerifier::parse(bad).error().code == "note_key");
  }
}

struct Signer {
  crypto::PrivateKey key = *crypto::PrivateKey::generate(crypto::KeyType::kEd25519);
  NoteVerifier verifier = *NoteVerifier::of("wary.local/log", key.public_key());
  std::string sign(const std::string& text) const {
    return text + "\n" + signature_line(verifier, *key.sign(as_bytes(text)));
  }
};

TEST_CASE("a checkpoint is taken with a good signature of the known key, whatever others signed") {
  const Signer signer;
  const Checkpoint checkpoint{"wary.local/log", {17, leaf_hash({})}};
  const std::string note = signer.sign(checkpoint_text(checkpoint));
  CHECK(verify_checkpoint(note, signer.verifier)->head == checkpoint.head);
  const Signer other;
  const std::string both =
      note + signature_line(other.verifier, *other.key.sign(as_bytes(checkpoint_text(checkpoint))));
  CHECK(verify_checkpoint(both, signer.verifier).ok());
  CHECK(verify_checkpoint(other.sign(checkpoint_text(checkpoint)), signer.verifier).error().code == "note_unsigned");
  // A known key's bad signature spoils the note, even beside its good one.
  std::string spoiled = note + signature_line(signer.verifier, Bytes(64, 1));
  CHECK(verify_checkpoint(spoiled, signer.verifier).error().code == "note_signature");
  CHECK(verify_checkpoint(signer.sign("other.log\n17\n" + codec::encode_base64(leaf_hash({})) + "\n"), signer.verifier)
            .error()
            .code == "checkpoint_origin");
  for (const char* text :
       {"a\n", "a\n1\n", "a\n01\nx\n", "a\n1\nAAAA\n", "a\n-1\nAAAA\n", "a\n99999999999999999999\nAAAA\n"}) {
    CAPTURE(text);
    CHECK(verify_checkpoint(signer.sign(text), signer.verifier).error().code == "checkpoint_syntax");
  }
  CHECK(verify_checkpoint(signer.sign(checkpoint_text(checkpoint) + "extension\n"), signer.verifier).error().code ==
        "checkpoint_syntax");
  // No byte of a note may be altered.
  for (std::size_t i = 0; i < note.size(); ++i) {
    std::string altered = note;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    CHECK_FALSE(verify_checkpoint(altered, signer.verifier).ok());
  }
}

TEST_CASE("text that is no note is refused with the offset") {
  for (const std::string_view bad : {"", "a", "a\n", "a\n\n", "a\n\nb\n", "a\n\n\xe2\x80\x94 name\n",
                                     "a\n\n\xe2\x80\x94 n AAAAAA==", "a\n\n\xe2\x80\x94 n AAAA\n",
                                     "a\n\n\xe2\x80\x94 n+m AAAAAAAA\n", "a\x01\n\n", "\xff\n\n"}) {
    CAPTURE(bad);
    const auto note = parse_note(bad);
    REQUIRE_FALSE(note.ok());
    CHECK(note.error().code == "note_syntax");
    CHECK(note.error().where.starts_with("offset "));
  }
  std::string many = "a\n\n";
  for (int i = 0; i < 64; ++i) many += "\xe2\x80\x94 n AAAAAAAA\n";
  CHECK(parse_note(many).ok());
  CHECK_FALSE(parse_note(many + "\xe2\x80\x94 n AAAAAAAA\n").ok());
  CHECK_FALSE(parse_note(std::string(70'000, 'a')).ok());
}

TEST_CASE("an offline proof needs the file, the event and the public key, and holds for those alone") {
  const Signer signer;
  const std::vector<Hash> leaves = leaves_of(10);
  const NodeReader read = reader_of(leaves);
  const std::string note = signer.sign(checkpoint_text({"wary.local/log", {10, slow_root(leaves)}}));
  const std::string file = encode_proof({7, *inclusion_proof(7, 10, read), note});
  CHECK(file.starts_with("c2sp.org/tlog-proof@v1\nindex 7\n"));
  const Bytes event = to_bytes("entry 7");
  const std::string vkey = signer.verifier.to_vkey();
  CHECK(verify_proof(file, event, vkey)->index == 7);
  CHECK(verify_proof(file, to_bytes("entry 8"), vkey).error().code == "proof_mismatch");
  CHECK(verify_proof(file, event, Signer().verifier.to_vkey()).error().code == "note_unsigned");
  for (std::size_t i = 0; i < file.size(); ++i) {
    std::string altered = file;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    CHECK_FALSE(verify_proof(altered, event, vkey).ok());
    CHECK_FALSE(verify_proof(file.substr(0, i), event, vkey).ok());
  }
  CHECK(parse_proof(std::string(200'000, 'a')).error().code == "proof_syntax");
  std::string deep = "c2sp.org/tlog-proof@v1\nindex 0\n";
  for (int i = 0; i < 64; ++i) deep += codec::encode_base64(leaves[0]) + "\n";
  CHECK(parse_proof(deep + "\n").error().code == "proof_syntax");
}

TEST_CASE("CRC-32C gives the RFC 3720 examples") {
  CHECK(crc32c(0, Bytes(32, 0)) == 0x8a9136aa);
  CHECK(crc32c(0, Bytes(32, 0xff)) == 0x62a8ab43);
  CHECK(crc32c(0, as_bytes("123456789")) == 0xe3069283);
  CHECK(crc32c(crc32c(0, as_bytes("1234")), as_bytes("56789")) == 0xe3069283);
}

TEST_CASE("a torn last batch is cut off, and damage before it is told from that") {
  const SegmentIdentity identity{leaf_hash({}), 100};
  Bytes file = make_segment_header(identity);
  std::vector<std::size_t> offsets;
  const auto add = [&](std::uint64_t index, std::uint32_t batch, std::uint32_t remaining) {
    offsets.push_back(file.size());
    Record record;
    record.index = index;
    record.batch = batch;
    record.remaining = remaining;
    const Bytes entry = to_bytes("entry " + std::to_string(index));
    record.entry = entry;
    append_record(file, identity, record);
  };
  add(100, 7, 1);
  add(101, 7, 0);
  add(102, 8, 0);
  add(103, 9, 2);
  add(104, 9, 1);
  add(105, 9, 0);
  const std::size_t end_of_8 = offsets[3];
  file.resize(file.size() + 100);
  const SegmentEnd whole = find_segment_end(file, identity, 6);
  CHECK(whole.next_index == 106);
  CHECK_FALSE(whole.damage);
  // Any byte of the last batch wrong: that batch goes.
  for (std::size_t i = offsets[3]; i < file.size(); ++i) {
    Bytes torn = file;
    torn[i] ^= 0x10;
    const SegmentEnd end = find_segment_end(torn, identity, 6);
    CHECK_FALSE(end.damage);
    const bool behind = i >= file.size() - 100;
    CHECK(end.next_index == (behind ? 106 : 103));
    if (!behind) CHECK(end.offset == end_of_8);
  }
  // Any byte before it: lost data, and said so.
  for (std::size_t i = 0; i < offsets[3]; ++i) {
    Bytes damaged = file;
    damaged[i] ^= 0x10;
    CAPTURE(i);
    CHECK(find_segment_end(damaged, identity, 6).damage);
  }
  // A whole sector of zeros before it as well.
  Bytes zeroed = file;
  std::fill(zeroed.begin() + static_cast<std::ptrdiff_t>(offsets[1]),
            zeroed.begin() + static_cast<std::ptrdiff_t>(offsets[3]), 0);
  CHECK(find_segment_end(zeroed, identity, 6).damage);
  // Another log's or another place's segment is none of ours.
  CHECK_FALSE(is_segment_header(file, {leaf_hash(as_bytes("x")), 100}));
  CHECK_FALSE(is_segment_header(file, {identity.origin_hash, 101}));
  CHECK(segment_name(42) == "00000000000000000042.seg");
  CHECK(segment_index_of("00000000000000000042.seg") == 42);
  for (const char* bad :
       {"42.seg", "0000000000000000004x.seg", "99999999999999999999.seg", "00000000000000000042.tmp"}) {
    CHECK_FALSE(segment_index_of(bad));
  }
}

}  // namespace
}  // namespace wary::ledger
