#include "engine/symbols.h"

#include "base/check.h"

namespace wary::engine {

namespace {

constexpr std::size_t kMaximum = kTemporary - 1;

}  // namespace

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
