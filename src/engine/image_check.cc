// The walk of image_format.h, with a mark in each section of how far it came. What is pointed to must stand at the mark
// and fit; so nothing is reached twice, and at the end everything was reached.
#include <bit>
#include <cstddef>
#include <cstring>

#include "engine/image_format.h"

namespace wary::engine {

namespace {

using Section = ImageSection;

class ImageCheck {
 public:
  explicit ImageCheck(const ImageMemory& image)
      : image_(image),
        names_(image.array<const Text*>(Section::kNames)),
        uids_(image.array<const Symbols::Uid>(Section::kUids)),
        texts_(image.array<const Text*>(Section::kTextList)),
        is_text_(image.sections[Section::kTexts].size() / alignof(Text) / 64 + 1, 0) {}

  // What is wrong, or null.
  const char* run() {
    if (!are_texts() || !are_names()) return "texts";
    if (!are_slots(Section::kNameSlots, names_.size()) || !are_slots(Section::kUidSlots, uids_.size()) ||
        !are_slots(Section::kTextSlots, texts_.size())) {
      return "an index";
    }
    if (!are_pages()) return "entities";
    for (const std::uint32_t ref : image_.array<const std::uint32_t>(Section::kInner)) {
      if (ref >= uids_.size()) return "parents";
    }
    for (const Section walked :
         {Section::kTexts, Section::kClosures, Section::kFilters, Section::kValues, Section::kBlocks}) {
      if (marks_[walked] != image_.sections[walked].size()) return "something that nothing leads to";
    }
    return nullptr;
  }
  std::size_t entities() const { return entities_; }

 private:
  // Whether this is what comes next in the section, and at least `bytes` of it lie there.
  bool is_next(Section section, const void* at, std::uint64_t bytes) const {
    const auto& all = image_.sections[section];
    return at == all.data() + marks_[section] && bytes <= all.size() - marks_[section];
  }
  void pass(Section section, std::uint64_t bytes) { marks_[section] += bytes; }

  bool is_next_text(const Text* text) {
    if (!is_next(Section::kTexts, text, sizeof(Text))) return false;
    const std::uint64_t bytes = round_up(sizeof(Text) + text->size, alignof(Text));
    if (!is_next(Section::kTexts, text, bytes)) return false;
    pass(Section::kTexts, bytes);
    return true;
  }
  bool are_texts() {
    for (const Text* text : texts_) {
      const std::uint64_t place = marks_[Section::kTexts] / alignof(Text);
      if (!is_next_text(text)) return false;
      is_text_[place / 64] |= std::uint64_t{1} << place % 64;
    }
    for (const Symbols::Uid& uid : uids_) {
      if (!is_next_text(uid.id) || uid.type >= names_.size()) return false;
    }
    return true;
  }
  // One of the list.
  bool is_text(const Text* text) const {
    const auto& all = image_.sections[Section::kTexts];
    const auto at = reinterpret_cast<std::uintptr_t>(text) - reinterpret_cast<std::uintptr_t>(all.data());
    const std::uint64_t place = at / alignof(Text);
    return at < all.size() && at % alignof(Text) == 0 && (is_text_[place / 64] >> place % 64 & 1) != 0;
  }
  bool are_names() const {
    for (const Text* name : names_) {
      if (!is_text(name)) return false;
    }
    return true;
  }
  bool are_slots(Section section, std::size_t numbers) const {
    const auto slots = image_.array<const std::uint64_t>(section);
    if (!std::has_single_bit(slots.size())) return false;
    std::size_t used = 0;
    bool are_known = true;
    for (const std::uint64_t slot : slots) {
      used += slot != 0 ? 1U : 0U;
      // A slot that is free has no number, and one more than that is not below any.
      are_known = are_known && (slot == 0 || static_cast<std::uint32_t>(slot) - 1 < numbers);
    }
    return are_known && used == numbers && used * 4 <= slots.size() * 3;
  }

  bool are_pages() {
    const auto pages = image_.array<const EntityBlock*>(Section::kPages);  // one after another
    if (pages.size() > round_up(uids_.size(), EntityTable::kSize)) return false;
    for (std::uint32_t ref = 0; ref < pages.size(); ++ref) {
      if (pages[ref] == nullptr) continue;
      if (!is_block(pages[ref], ref)) return false;
      ++entities_;
    }
    return true;
  }
  bool is_block(const EntityBlock* block, std::uint32_t ref) {
    if (!is_next(Section::kBlocks, block, sizeof(EntityBlock))) return false;
    const std::uint64_t bytes = image_block_bytes(*block);
    const std::uint64_t room = round_up(bytes, alignof(EntityBlock));
    if (!is_next(Section::kBlocks, block, room) || block->bytes != bytes) return false;
    pass(Section::kBlocks, room);
    const std::uint32_t attributes = block->attributes;
    const std::uint32_t tags = block->tags;
    return block->ref == ref && ref < uids_.size() && are_cells(block->values(), attributes + tags, 1) &&
           are_known(block->names(), attributes + tags, names_.size()) &&
           are_known(block->parent_refs(), block->parents, uids_.size()) && is_timed(*block) && is_closed(*block);
  }
  static bool are_known(const std::uint32_t* numbers, std::uint32_t size, std::size_t count) {
    for (std::uint32_t i = 0; i < size; ++i) {
      if (numbers[i] >= count) return false;
    }
    return true;
  }
  // A boolean that lies where something could be that is none.
  static bool is_flag(const void* object, std::size_t at, bool& value) {
    std::uint8_t byte = 0;
    std::memcpy(&byte, static_cast<const std::uint8_t*>(object) + at, 1);
    value = byte == 1;
    return byte <= 1;
  }

  bool is_closed(const EntityBlock& block) {
    bool closed = false;
    if (!is_flag(&block, offsetof(EntityBlock, is_closed), closed)) return false;
    if (!closed) return block.closure == nullptr && block.filter == nullptr && block.ancestors == 0;
    const std::uint64_t bytes = block.ancestors * sizeof(std::uint32_t);
    if (!is_next(Section::kClosures, block.closure, bytes) ||
        !is_next(Section::kFilters, block.filter, sizeof(Filter))) {
      return false;
    }
    pass(Section::kClosures, bytes);
    pass(Section::kFilters, sizeof(Filter));
    return are_known(block.closure, block.ancestors, uids_.size());
  }
  // A cursor of its own reads the cells before they are passed: they stand behind what is inside them.
  bool is_timed(const EntityBlock& block) {
    if (block.timed == 0) return block.timed_cells == nullptr;
    const TimedCell* timed = block.timed_cells;
    if (!is_ahead(timed, block.timed * sizeof(TimedCell))) return false;
    for (std::uint32_t i = 0; i < block.timed; ++i) {
      bool is_tag = false;
      if (!is_flag(timed + i, offsetof(TimedCell, is_tag), is_tag)) return false;
      if (timed[i].name >= names_.size() || !are_cells(&timed[i].then, 1, 1)) return false;
    }
    if (!is_next(Section::kValues, timed, block.timed * sizeof(TimedCell))) return false;
    pass(Section::kValues, block.timed * sizeof(TimedCell));
    return true;
  }

  // Whether so much lies at or behind the mark of the values, where a value may stand.
  bool is_ahead(const void* at, std::uint64_t bytes) const {
    const auto& all = image_.sections[Section::kValues];
    const auto from = reinterpret_cast<std::uintptr_t>(at) - reinterpret_cast<std::uintptr_t>(all.data());
    return from >= marks_[Section::kValues] && from <= all.size() && bytes <= all.size() - from &&
           from % alignof(Cell) == 0;
  }
  bool are_cells(const Cell* cells, std::uint32_t size, std::size_t depth) {
    if (depth > kImageDepthMax && size > 0) return false;
    for (std::uint32_t i = 0; i < size; ++i) {
      if (!is_cell(cells[i], depth)) return false;
    }
    return true;
  }
  bool is_cell(const Cell& cell, std::size_t depth) {
    switch (cell.tag) {
      case Tag::kBool: return cell.number == 0 || cell.number == 1;
      case Tag::kString: return is_text(cell.text);
      case Tag::kEntity: return cell.entity < uids_.size() && cell.type < names_.size();
      case Tag::kSet: return is_set(cell.set, depth);
      case Tag::kRecord: return is_record(cell.record, depth);
      case Tag::kIp: return is_ip(cell.ip);
      case Tag::kLong:
      case Tag::kDecimal:
      case Tag::kDatetime:
      case Tag::kDuration: return true;
    }
    return false;
  }
  bool is_set(const Set* set, std::size_t depth) {
    if (!is_ahead(set, sizeof(Set))) return false;
    const std::uint64_t bytes = sizeof(Set) + set->size * sizeof(Cell);
    if (!is_ahead(set, bytes) || !are_cells(set->begin(), set->size, depth + 1)) return false;
    std::uint32_t others = 0;
    for (const Cell& cell : set->cells()) others += cell.tag != Tag::kEntity ? 1U : 0U;
    if (others != set->others || !is_next(Section::kValues, set, bytes)) return false;
    pass(Section::kValues, bytes);
    return true;
  }
  bool is_record(const Record* record, std::size_t depth) {
    if (!is_ahead(record, sizeof(Record))) return false;
    const std::uint64_t bytes =
        round_up(sizeof(Record) + record->size * (sizeof(Cell) + sizeof(std::uint32_t)), alignof(Cell));
    if (!is_ahead(record, bytes) || !are_cells(record->values(), record->size, depth + 1) ||
        !are_known(record->names(), record->size, names_.size()) || !is_next(Section::kValues, record, bytes)) {
      return false;
    }
    pass(Section::kValues, bytes);
    return true;
  }
  bool is_ip(const cedar::IpAddress* ip) {
    const std::uint64_t bytes = round_up(sizeof(cedar::IpAddress), alignof(Cell));
    bool is_v6 = false;
    if (!is_next(Section::kValues, ip, bytes) || !is_flag(ip, offsetof(cedar::IpAddress, is_v6), is_v6)) return false;
    pass(Section::kValues, bytes);
    return ip->prefix <= (is_v6 ? 128 : 32);
  }

  const ImageMemory& image_;
  std::span<const Text* const> names_;
  std::span<const Symbols::Uid> uids_;
  std::span<const Text* const> texts_;
  std::vector<std::uint64_t> is_text_;  // a bit each four bytes: a text of the list begins here
  BySection<std::uint64_t> marks_;
  std::size_t entities_ = 0;
};

}  // namespace

Result<std::size_t> check_image(const ImageMemory& image) {
  ImageCheck check(image);
  const char* wrong = check.run();
  if (wrong != nullptr) return damaged_image(wrong);
  return check.entities();
}

}  // namespace wary::engine
