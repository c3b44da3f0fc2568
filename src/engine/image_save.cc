#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "engine/image_format.h"
#include "engine/world.h"
#include "io/files.h"

namespace wary::engine {

namespace {

using Section = ImageSection;

// Numbers of one kind that are used, and what they become: in the same order, without gaps. So what is sorted by them
// stays sorted.
class Renumbering {
 public:
  // Whether it is the first time.
  bool use(std::uint32_t number) {
    if (number >= next_.size()) next_.resize(std::max<std::size_t>(std::size_t{number} + 1, next_.size() * 2), kNone);
    if (next_[number] != kNone) return false;
    next_[number] = 0;
    return true;
  }
  void settle() {
    for (std::uint32_t number = 0; number < next_.size(); ++number) {
      if (next_[number] == kNone) continue;
      next_[number] = static_cast<std::uint32_t>(used_.size());
      used_.push_back(number);
    }
  }
  std::uint32_t operator[](std::uint32_t number) const { return next_[number]; }
  const std::vector<std::uint32_t>& used() const { return used_; }  // ascending

 private:
  std::vector<std::uint32_t> next_;
  std::vector<std::uint32_t> used_;
};

std::uint64_t size_of(const Text& text) { return round_up(sizeof(Text) + text.size, alignof(Text)); }
std::uint64_t size_of(const Set& set) { return sizeof(Set) + set.size * sizeof(Cell); }
std::uint64_t size_of(const Record& record) {
  return round_up(sizeof(Record) + record.size * (sizeof(Cell) + sizeof(std::uint32_t)), alignof(Cell));
}
constexpr std::uint64_t kIpSize = round_up(sizeof(cedar::IpAddress), alignof(Cell));

// What a table reaches, and how much room that takes.
class Reached {
 public:
  Reached(const Symbols& symbols, const EntityTable& table) : symbols_(symbols) {
    std::uint32_t last = kNone;
    table.for_each([&](const EntityBlock& block) { add(block), last = block.ref; });
    for (Renumbering* one : {&names_, &uids_, &texts_, &inner_}) one->settle();
    const std::uint32_t pages = last == kNone ? 0 : uids_[last] / EntityTable::kSize + 1;
    for (const std::uint32_t number : texts_.used()) bytes_[Section::kTexts] += size_of(symbols.text(number));
    for (const std::uint32_t ref : uids_.used()) bytes_[Section::kTexts] += size_of(symbols.id_text(ref));
    bytes_[Section::kNames] = names_.used().size() * sizeof(const Text*);
    bytes_[Section::kUids] = uids_.used().size() * sizeof(Symbols::Uid);
    bytes_[Section::kTextList] = texts_.used().size() * sizeof(const Text*);
    bytes_[Section::kNameSlots] = slot_bytes(names_);
    bytes_[Section::kUidSlots] = slot_bytes(uids_);
    bytes_[Section::kTextSlots] = slot_bytes(texts_);
    bytes_[Section::kPages] = pages * sizeof(EntityTable::Page);
    bytes_[Section::kInner] = inner_.used().size() * sizeof(std::uint32_t);
  }

  bool is_too_deep() const { return is_too_deep_; }
  const BySection<std::uint64_t>& bytes() const { return bytes_; }
  const Renumbering& names() const { return names_; }
  const Renumbering& uids() const { return uids_; }
  const Renumbering& texts() const { return texts_; }
  const Renumbering& inner() const { return inner_; }
  const Symbols& symbols() const { return symbols_; }

 private:
  static std::uint64_t slot_bytes(const Renumbering& numbers) {
    return HashIndex::room_for(numbers.used().size()) * sizeof(HashIndex::Slot);
  }
  void add_text(const Text& text) {
    const std::uint32_t number = symbols_.text_number(text);
    WARY_CHECK(number != kNone);
    texts_.use(number);
  }
  void add_name(std::uint32_t name) {
    if (names_.use(name)) add_text(symbols_.name_text(name));
  }
  void add_uid(std::uint32_t ref) {
    if (uids_.use(ref)) add_name(symbols_.type_of(ref));
  }
  void add(const Cell& cell, std::size_t depth) {
    if (depth > kImageDepthMax) {
      is_too_deep_ = true;
      return;
    }
    switch (cell.tag) {
      case Tag::kString: add_text(*cell.text); break;
      case Tag::kEntity: add_uid(cell.entity); break;
      case Tag::kSet:
        for (const Cell& one : cell.set->cells()) add(one, depth + 1);
        bytes_[Section::kValues] += size_of(*cell.set);
        break;
      case Tag::kRecord:
        for (std::uint32_t i = 0; i < cell.record->size; ++i) {
          add_name(cell.record->names()[i]);
          add(cell.record->values()[i], depth + 1);
        }
        bytes_[Section::kValues] += size_of(*cell.record);
        break;
      case Tag::kIp: bytes_[Section::kValues] += kIpSize; break;
      default: break;
    }
  }
  void add(const EntityBlock& block) {
    add_uid(block.ref);
    const std::uint32_t members = std::uint32_t{block.attributes} + block.tags;
    for (std::uint32_t i = 0; i < members; ++i) {
      add_name(block.names()[i]);
      add(block.values()[i], 1);
    }
    for (std::uint32_t i = 0; i < block.timed; ++i) {
      add_name(block.timed_cells[i].name);
      add(block.timed_cells[i].then, 1);
    }
    // Whoever is a parent is inner, and so is whoever has a closure: it must follow when those above it move.
    for (std::uint32_t i = 0; i < block.parents; ++i) {
      add_uid(block.parent_refs()[i]);
      inner_.use(block.parent_refs()[i]);
    }
    bytes_[Section::kValues] += block.timed * sizeof(TimedCell);
    bytes_[Section::kBlocks] += round_up(image_block_bytes(block), alignof(EntityBlock));
    if (!block.is_closed) return;
    inner_.use(block.ref);
    for (std::uint32_t i = 0; i < block.ancestors; ++i) add_uid(block.closure[i]);
    bytes_[Section::kClosures] += block.ancestors * sizeof(std::uint32_t);
    bytes_[Section::kFilters] += sizeof(Filter);
  }

  const Symbols& symbols_;
  Renumbering names_;
  Renumbering uids_;
  Renumbering texts_;
  Renumbering inner_;
  BySection<std::uint64_t> bytes_;
  bool is_too_deep_ = false;
};

// Lays out what was reached as it will lie in memory. Only members are copied, so that no byte between them leaks.
class ImageDrawing {
 public:
  ImageDrawing(const Reached& reached, const ImageHeader& header) : reached_(reached), symbols_(reached.symbols()) {
    const io::Placement where = place_image(header);
    for (std::size_t i = 0; i < kImageSections; ++i) {
      parts_.of[i].content.resize(round_up(where.pieces[i].bytes, kImagePage), 0);
      parts_.of[i].size = where.pieces[i].bytes;
      parts_.of[i].address = where.address + where.pieces[i].at;
    }
  }
  void draw(const EntityTable& table) {
    draw_symbols();
    table.for_each([&](const EntityBlock& block) { draw(block); });
    for (const std::uint32_t ref : reached_.inner().used()) *take<std::uint32_t>(Section::kInner) = uids()[ref];
    parts_[Section::kPages].used = parts_[Section::kPages].size;
    for (const Part& part : parts_.of) WARY_CHECK(part.used == part.size);
  }
  BySection<ByteView> sections() const {
    BySection<ByteView> out;
    for (std::size_t i = 0; i < kImageSections; ++i) out.of[i] = parts_.of[i].content;
    return out;
  }

 private:
  struct Part {
    Bytes content;
    std::uint64_t size = 0;
    std::uint64_t used = 0;
    std::uint64_t address = 0;
  };
  const Renumbering& uids() const { return reached_.uids(); }
  const Renumbering& names() const { return reached_.names(); }

  // The next bytes of a section: where they are drawn; zeros.
  template <typename T>
  T* take(Section section, std::uint64_t bytes = sizeof(T)) {
    Part& part = parts_[section];
    WARY_CHECK(bytes <= part.size - part.used);
    T* out = reinterpret_cast<T*>(part.content.data() + part.used);
    part.used += bytes;
    return out;
  }
  // Where something drawn will lie.
  template <typename T>
  const T* placed(Section section, const T* drawn) const {
    const Part& part = parts_[section];
    const auto at = static_cast<std::uint64_t>(reinterpret_cast<const std::uint8_t*>(drawn) - part.content.data());
    return reinterpret_cast<const T*>(part.address + at);  // NOLINT: the point of it
  }

  const Text* draw(const Text& text) {
    auto* out = take<Text>(Section::kTexts, size_of(text));
    out->size = text.size;
    out->hash = text.hash;
    if (text.size > 0) std::memcpy(reinterpret_cast<char*>(out + 1), text.bytes(), text.size);
    return placed(Section::kTexts, out);
  }
  template <typename HashOf>
  void draw_slots(Section section, const Renumbering& numbers, HashOf hash_of) {
    Part& part = parts_[section];
    auto* slots = take<std::uint64_t>(section, part.size);
    const std::uint64_t mask = part.size / sizeof(std::uint64_t) - 1;
    for (std::uint32_t number = 0; number < numbers.used().size(); ++number) {
      const std::uint64_t hash = hash_of(numbers.used()[number]);
      std::uint64_t at = hash & mask;
      while (slots[at] != 0) at = (at + 1) & mask;
      slots[at] = HashIndex::slot_value(hash, number);
    }
  }
  void draw_symbols() {
    const Renumbering& texts = reached_.texts();
    for (const std::uint32_t number : texts.used()) {
      const Text* text = draw(symbols_.text(number));
      texts_.push_back(text);
      *take<const Text*>(Section::kTextList) = text;
    }
    for (const std::uint32_t name : names().used()) {
      *take<const Text*>(Section::kNames) = text_of(symbols_.name_text(name));
    }
    for (const std::uint32_t ref : uids().used()) {
      auto* uid = take<Symbols::Uid>(Section::kUids);
      uid->id = draw(symbols_.id_text(ref));
      uid->type = names()[symbols_.type_of(ref)];
    }
    draw_slots(Section::kTextSlots, texts, [&](std::uint32_t n) { return symbols_.hash(symbols_.text(n).view()); });
    draw_slots(Section::kNameSlots, names(), [&](std::uint32_t n) { return symbols_.hash(symbols_.name(n)); });
    draw_slots(Section::kUidSlots, uids(), [&](std::uint32_t n) { return symbols_.uid_hash(n); });
  }
  const Text* text_of(const Text& text) const { return texts_[reached_.texts()[symbols_.text_number(text)]]; }

  // What is inside comes first.
  void draw(const Cell& cell, Cell& out) {
    out.tag = cell.tag;
    switch (cell.tag) {
      case Tag::kString: out.text = text_of(*cell.text); break;
      case Tag::kEntity: out = Cell::entity_of(uids()[cell.entity], names()[cell.type]); break;
      case Tag::kSet: out.set = draw(*cell.set); break;
      case Tag::kRecord: out.record = draw(*cell.record); break;
      case Tag::kIp: {
        auto* ip = take<cedar::IpAddress>(Section::kValues, kIpSize);
        *ip = *cell.ip;
        out.ip = placed(Section::kValues, ip);
        break;
      }
      default: out.number = cell.number;
    }
  }
  // Cells whose insides are drawn, kept until what holds them can be.
  std::size_t draw_insides(const Cell* cells, std::uint32_t size) {
    const std::size_t first = cells_.size();
    for (std::uint32_t i = 0; i < size; ++i) {
      Cell drawn;
      draw(cells[i], drawn);
      cells_.push_back(drawn);
    }
    return first;
  }
  void put_cells(std::size_t first, const Cell* to) {
    auto* out = const_cast<Cell*>(to);  // of what is being drawn
    for (std::size_t i = first; i < cells_.size(); ++i, ++out) {
      out->tag = cells_[i].tag;
      out->type = cells_[i].type;
      out->number = cells_[i].number;
    }
    cells_.resize(first);
  }
  void put_names(const std::uint32_t* from, std::uint32_t size, const std::uint32_t* to) {
    std::transform(from, from + size, const_cast<std::uint32_t*>(to), [&](std::uint32_t n) { return names()[n]; });
  }
  const Set* draw(const Set& set) {
    const std::size_t first = draw_insides(set.begin(), set.size);
    auto* out = take<Set>(Section::kValues, size_of(set));
    out->size = set.size;
    out->others = set.others;
    put_cells(first, out->begin());
    return placed(Section::kValues, out);
  }
  const Record* draw(const Record& record) {
    const std::size_t first = draw_insides(record.values(), record.size);
    auto* out = take<Record>(Section::kValues, size_of(record));
    out->size = record.size;
    put_cells(first, out->values());
    put_names(record.names(), record.size, out->names());
    return placed(Section::kValues, out);
  }

  const TimedCell* draw_timed(const EntityBlock& block) {
    const std::size_t first = cells_.size();
    for (std::uint32_t i = 0; i < block.timed; ++i) draw_insides(&block.timed_cells[i].then, 1);
    auto* out = take<TimedCell>(Section::kValues, block.timed * sizeof(TimedCell));
    for (std::uint32_t i = 0; i < block.timed; ++i) {
      out[i].name = names()[block.timed_cells[i].name];
      out[i].is_tag = block.timed_cells[i].is_tag;
      out[i].at_nanos = block.timed_cells[i].at_nanos;
      out[i].then.tag = cells_[first + i].tag;
      out[i].then.type = cells_[first + i].type;
      out[i].then.number = cells_[first + i].number;
    }
    cells_.resize(first);
    return placed(Section::kValues, out);
  }
  void draw_closure(const EntityBlock& block, EntityBlock& out) {
    if (!block.is_closed) return;
    auto* closure = take<std::uint32_t>(Section::kClosures, block.ancestors * sizeof(std::uint32_t));
    auto* filter = take<Filter>(Section::kFilters);
    for (std::uint32_t i = 0; i < block.ancestors; ++i) {
      closure[i] = uids()[block.closure[i]];
      filter->add(closure[i]);
    }
    out.is_closed = true;
    out.ancestors = block.ancestors;
    out.closure = placed(Section::kClosures, closure);
    out.filter = placed(Section::kFilters, filter);
  }
  void draw(const EntityBlock& block) {
    const std::uint32_t members = std::uint32_t{block.attributes} + block.tags;
    const std::size_t first = draw_insides(block.values(), members);
    const TimedCell* timed = block.timed > 0 ? draw_timed(block) : nullptr;
    auto* out = take<EntityBlock>(Section::kBlocks, round_up(image_block_bytes(block), alignof(EntityBlock)));
    out->ref = uids()[block.ref];
    out->bytes = static_cast<std::uint32_t>(image_block_bytes(block));
    out->attributes = block.attributes;
    out->tags = block.tags;
    out->parents = block.parents;
    out->timed = block.timed;
    out->timed_cells = timed;
    put_cells(first, out->values());
    put_names(block.names(), members, out->names());
    auto* parents = const_cast<std::uint32_t*>(out->parent_refs());
    for (std::uint32_t i = 0; i < block.parents; ++i) parents[i] = uids()[block.parent_refs()[i]];
    draw_closure(block, *out);
    auto* pages = reinterpret_cast<const EntityBlock**>(parts_[Section::kPages].content.data());
    pages[out->ref] = placed(Section::kBlocks, out);
  }

  const Reached& reached_;
  const Symbols& symbols_;
  BySection<Part> parts_;
  std::vector<const Text*> texts_;  // placed, by their new numbers
  std::vector<Cell> cells_;
};

}  // namespace

Status save_image(const Snapshot& snapshot, io::Files& files, std::string_view path, const ImageOptions& options) {
  if (options.label.size() > kImageLabelMax) {
    return fail(ErrorKind::kInvalid, "engine_image_label", "a label that is too long")
        .expected("at most " + std::to_string(kImageLabelMax) + " bytes");
  }
  const Symbols& symbols = snapshot.world().symbols;
  const Reached reached(symbols, snapshot.entities());
  if (reached.is_too_deep()) {
    return fail(ErrorKind::kInvalid, "engine_image_depth", "a value that is too deep for an image")
        .expected("at most " + std::to_string(kImageDepthMax) + " levels");
  }
  ImageHeader header = new_image_header(options.random);
  header.bytes = reached.bytes();
  header.file_bytes = image_file_bytes(header.bytes);
  header.seed = symbols.seed();
  header.label_size = static_cast<std::uint32_t>(options.label.size());
  std::copy(options.label.begin(), options.label.end(), header.label.begin());
  ImageDrawing drawing(reached, header);
  drawing.draw(snapshot.entities());
  const BySection<ByteView> sections = drawing.sections();
  header.digest = image_digest(header, sections);
  const Bytes first = image_header_page(header);
  std::vector<io::FilePart> parts = {{0, first}};
  for (const ByteView section : sections.of) {
    parts.push_back({parts.back().offset + parts.back().bytes.size(), section});
  }
  return io::write_file_atomically(files, path, header.file_bytes, parts);
}

}  // namespace wary::engine
