#include "engine/image_format.h"
#include "engine/world.h"
#include "io/files.h"

namespace wary::engine {

namespace {

using Section = ImageSection;

// The sections, and in `pages` with the rest of their last pages.
ImageMemory sections_of(const io::PlacedMemory& memory, const io::Placement& where, BySection<ByteView>& pages) {
  ImageMemory out;
  for (std::size_t i = 0; i < kImageSections; ++i) {
    const io::PlacedPiece& piece = where.pieces[i];
    out.sections.of[i] = memory.span().subspan(piece.at, piece.bytes);
    pages.of[i] = memory.span().subspan(piece.at, round_up(piece.bytes, kImagePage));
  }
  return out;
}

std::shared_ptr<World> make_world(const ImageHeader& header, const ImageMemory& image, std::size_t entities,
                                  std::unique_ptr<io::PlacedMemory> memory) {
  auto world = std::make_shared<World>(header.seed);
  world->image = std::move(memory);
  for (const Section section :
       {Section::kTexts, Section::kClosures, Section::kFilters, Section::kValues, Section::kBlocks, Section::kInner}) {
    world->image_bytes += header.bytes[section];
  }
  world->symbols.adopt({.names = image.array<const Text*>(Section::kNames),
                        .uids = image.array<Symbols::Uid>(Section::kUids),
                        .texts = image.array<const Text*>(Section::kTextList),
                        .name_slots = image.array<HashIndex::Slot>(Section::kNameSlots),
                        .uid_slots = image.array<HashIndex::Slot>(Section::kUidSlots),
                        .text_slots = image.array<HashIndex::Slot>(Section::kTextSlots)});
  EntityTable table;
  table.adopt(image.array<const EntityTable::Page>(Section::kPages), entities);
  world->writer.adopt(table, image.array<const std::uint32_t>(Section::kInner));
  return world;
}

Error address_taken(const Error& error) {
  return fail(ErrorKind::kUnavailable, "engine_image_address", "the addresses of an image are taken in this process")
      .at(error.where)
      .found(error.found_text)
      .next("load the ordinary way, and save the image again");
}

Result<OpenedImage> open_file(io::File& file, std::span<const PolicyInput> policies) {
  WARY_ASSIGN_OR_RETURN(const std::uint64_t file_size, file.size());
  Bytes page(kImagePage);
  WARY_ASSIGN_OR_RETURN(const std::size_t got, file.read_at(0, page));
  page.resize(got);
  WARY_ASSIGN_OR_RETURN(const ImageHeader header, decode_image_header(page, file_size));
  const io::Placement where = place_image(header);
  auto placed = file.place(where);
  if (!placed.ok() && placed.error().code == "memory_address") return address_taken(placed.error());
  WARY_ASSIGN_OR_RETURN(auto memory, std::move(placed));
  BySection<ByteView> pages;
  const ImageMemory image = sections_of(*memory, where, pages);
  if (image_digest(header, pages) != header.digest) return damaged_image("another digest");
  WARY_ASSIGN_OR_RETURN(const std::size_t entities, check_image(image));
  OpenedImage out;
  out.label.assign(header.label.data(), header.label_size);
  out.snapshot = Snapshot::start(make_world(header, image, entities, std::move(memory)), policies);
  return out;
}

}  // namespace

Result<OpenedImage> open_image(io::Files& files, std::string_view path, std::span<const PolicyInput> policies) {
  WARY_ASSIGN_OR_RETURN(const auto file, files.open(path, io::OpenMode::kRead));
  auto out = open_file(*file, policies);
  if (!out.ok() && out.error().where.empty()) out.error().at(std::string(path));
  return out;
}

}  // namespace wary::engine
