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

std::array<Symbols::Known, 3> Symbols::find_uids(const std::array<const cedar::EntityUid*, 3>& uids) const {
  struct Search {
    const cedar::EntityUid& uid;
    Known& out;
    std::uint64_t hash = 0;
    const Uid* candidate = nullptr;
  };
  std::array<Known, 3> out;
  std::array<Search, 3> searches = {Search{*uids[0], out[0]}, Search{*uids[1], out[1]}, Search{*uids[2], out[2]}};
  for (Search& one : searches) {
    one.hash = uid_hash(one.uid.type, one.uid.id);
    uid_index_.prefetch(one.hash);
  }
  // The first whose half of the hash fits; nearly always the one.
  for (Search& one : searches) {
    one.out.ref = uid_index_.find(one.hash, [](std::uint32_t) { return true; });
    if (one.out.ref == kNone) continue;
    one.candidate = &uids_[one.out.ref];
    __builtin_prefetch(one.candidate);
  }
  for (const Search& one : searches) {
    if (one.candidate != nullptr) __builtin_prefetch(one.candidate->id);
  }
  for (Search& one : searches) {
    if (one.candidate == nullptr) continue;
    if (!is(*one.candidate, one.uid.type, one.uid.id)) {
      one.out.ref = find_uid(one.uid.type, one.uid.id, one.hash);
      if (one.out.ref == kNone) continue;
      one.candidate = &uids_[one.out.ref];
    }
    one.out.type = one.candidate->type;
  }
  return out;
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
  uid_index_.insert(hashed, number, [&](std::uint32_t other) { return uid_hash(other); });
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

void Symbols::adopt(const Stored& stored) {
  names_.adopt(stored.names.data(), static_cast<std::uint32_t>(stored.names.size()));
  uids_.adopt(stored.uids.data(), static_cast<std::uint32_t>(stored.uids.size()));
  texts_.adopt(stored.texts.data(), static_cast<std::uint32_t>(stored.texts.size()));
  name_index_.adopt(stored.name_slots, stored.names.size());
  uid_index_.adopt(stored.uid_slots, stored.uids.size());
  text_index_.adopt(stored.text_slots, stored.texts.size());
}

std::size_t Symbols::bytes() const {
  return arena_.bytes() + names_.bytes() + uids_.bytes() + texts_.bytes() + name_index_.bytes() + uid_index_.bytes() +
         text_index_.bytes();
}

}  // namespace wary::engine
