#include "engine/symbols.h"

#include "base/check.h"

namespace wary::engine {

namespace {

// Multiply, and fold the two halves of the product: every bit of both goes into every bit.
std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

constexpr std::uint64_t kOdd1 = 0x9E3779B97F4A7C15ULL;  // 2^64 by the golden ratio
constexpr std::uint64_t kOdd2 = 0xD1B54A32D192ED03ULL;
constexpr std::size_t kMaximum = kTemporary - 1;

std::uint64_t load(const char* bytes, std::size_t count) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, count);
  return word;
}

}  // namespace

std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t state = seed ^ kOdd1;
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left > 8; left -= 8, at += 8) state = fold(state ^ load(at, 8), kOdd2);
  std::uint64_t tail = 0;
  if (left >= 4) {
    tail = load(at, 4) | load(at + left - 4, 4) << 32;
  } else if (left > 0) {
    tail = static_cast<unsigned char>(at[0]) | static_cast<std::uint64_t>(static_cast<unsigned char>(at[left / 2])) << 8 |
           static_cast<std::uint64_t>(static_cast<unsigned char>(at[left - 1])) << 16;
  }
  return fold(fold(state ^ tail, kOdd2) ^ bytes.size(), kOdd1);
}

const Text* make_text(Arena& arena, std::string_view text, std::uint64_t hash) {
  auto* out = static_cast<Text*>(arena.allocate(sizeof(Text) + text.size(), alignof(Text)));
  out->size = static_cast<std::uint32_t>(text.size());
  out->hash = static_cast<std::uint32_t>(hash);
  if (!text.empty()) std::memcpy(reinterpret_cast<char*>(out + 1), text.data(), text.size());
  return out;
}

const Text* Symbols::make_text(std::string_view text, std::uint64_t hash) {
  return engine::make_text(arena_, text, hash);
}

std::uint32_t Symbols::find_name(std::string_view name, std::uint64_t hash) const {
  return name_index_.find(hash, [&](std::uint32_t number) { return names_[number]->view() == name; });
}

std::uint32_t Symbols::find_uid(std::string_view type, std::string_view id, std::uint64_t hash) const {
  return uid_index_.find(hash, [&](std::uint32_t number) {
    const Uid& uid = uids_[number];
    return uid.id->view() == id && names_[uid.type]->view() == type;
  });
}

std::uint32_t Symbols::add_name(std::string_view name) {
  const std::uint64_t hashed = hash(name);
  const std::uint32_t known = find_name(name, hashed);
  if (known != kNone) return known;
  const std::uint32_t number = names_.size();
  WARY_CHECK(number < kMaximum);
  names_.push_back(add_text(name));
  name_index_.insert(hashed, number, [&](std::uint32_t other) { return hash(names_[other]->view()); });
  return number;
}

std::uint32_t Symbols::add_uid(std::string_view type, std::string_view id) {
  const std::uint64_t hashed = uid_hash(type, id);
  const std::uint32_t known = find_uid(type, id, hashed);
  if (known != kNone) return known;
  const std::uint32_t number = uids_.size();
  WARY_CHECK(number < kMaximum);
  uids_.push_back({make_text(id, hash(id)), add_name(type)});
  uid_index_.insert(hashed, number, [&](std::uint32_t other) { return uid_hash(name(type_of(other)), id_of(other)); });
  return number;
}

const Text* Symbols::add_text(std::string_view text) {
  const std::uint64_t hashed = hash(text);
  const std::uint32_t known = text_index_.find(hashed, [&](std::uint32_t n) { return texts_[n]->view() == text; });
  if (known != kNone) return texts_[known];
  const std::uint32_t number = texts_.size();
  WARY_CHECK(number < kMaximum);
  texts_.push_back(make_text(text, hashed));
  text_index_.insert(hashed, number, [&](std::uint32_t other) { return hash(texts_[other]->view()); });
  return texts_[number];
}

std::size_t Symbols::bytes() const {
  return arena_.bytes() + names_.bytes() + uids_.bytes() + texts_.bytes() + name_index_.bytes() + uid_index_.bytes() +
         text_index_.bytes();
}

}  // namespace wary::engine
