#include "engine/image_format.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace wary::engine {

namespace {

constexpr std::array<char, 8> kMagic = {'w', 'a', 'r', 'y', 'i', 'm', 'g', '\n'};

// From 32 to 64 TiB: above what a program of the usual kind, the kernel's own choices and AddressSanitizer use, and
// below half of what 47 bits reach. ThreadSanitizer lets programs have little else than this.
#if defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kLowest = 0x5680'0000'0000 - (std::uint64_t{1} << 37);
constexpr std::uint64_t kChoices = std::uint64_t{1} << 15;
#else
constexpr std::uint64_t kLowest = std::uint64_t{1} << 45;
constexpr std::uint64_t kChoices = std::uint64_t{1} << 24;
#endif
constexpr std::uint64_t kStep = std::uint64_t{1} << 21;

constexpr BySection<std::uint64_t> item_sizes() {
  BySection<std::uint64_t> out;
  out[ImageSection::kTexts] = alignof(Text);
  out[ImageSection::kNames] = sizeof(const Text*);
  out[ImageSection::kUids] = sizeof(Symbols::Uid);
  out[ImageSection::kTextList] = sizeof(const Text*);
  for (const auto slots : {ImageSection::kNameSlots, ImageSection::kUidSlots, ImageSection::kTextSlots}) {
    out[slots] = sizeof(HashIndex::Slot);
  }
  out[ImageSection::kClosures] = sizeof(std::uint32_t);
  out[ImageSection::kFilters] = sizeof(Filter);
  out[ImageSection::kValues] = alignof(Cell);
  out[ImageSection::kBlocks] = alignof(EntityBlock);
  out[ImageSection::kPages] = sizeof(EntityTable::Page);
  out[ImageSection::kInner] = sizeof(std::uint32_t);
  return out;
}

// Changes with whatever an image depends on besides kImageVersion.
std::uint64_t layout_fingerprint() {
  std::uint64_t out = hash_bytes("wary", 1);
  const std::uint16_t order = 1;
  std::uint8_t first = 0;
  std::memcpy(&first, &order, 1);
  for (const std::uint64_t fact :
       {std::uint64_t{first}, Filter::spread(7), std::uint64_t{sizeof(Text)}, std::uint64_t{sizeof(Cell)},
        std::uint64_t{alignof(Cell)}, std::uint64_t{offsetof(Cell, type)}, std::uint64_t{offsetof(Cell, number)},
        std::uint64_t{sizeof(Set)}, std::uint64_t{sizeof(Record)}, std::uint64_t{sizeof(cedar::IpAddress)},
        std::uint64_t{offsetof(cedar::IpAddress, is_v6)}, std::uint64_t{sizeof(EntityBlock)},
        std::uint64_t{offsetof(EntityBlock, is_closed)}, std::uint64_t{offsetof(EntityBlock, filter)},
        std::uint64_t{sizeof(TimedCell)}, std::uint64_t{offsetof(TimedCell, then)}, std::uint64_t{sizeof(Filter)},
        std::uint64_t{sizeof(Symbols::Uid)}, std::uint64_t{sizeof(EntityTable::Page)}}) {
    out = fold(out ^ fact, kOdd1);
  }
  return out;
}

std::uint64_t room_of(ImageSection section, std::uint64_t bytes) {
  const auto room = [bytes](std::uint64_t size) {
    return size * Steady<std::uint64_t>::room_for(static_cast<std::uint32_t>(bytes / size));
  };
  switch (section) {
    case ImageSection::kNames:
    case ImageSection::kTextList: return room(sizeof(const Text*));
    case ImageSection::kUids: return room(sizeof(Symbols::Uid));
    default: return bytes;
  }
}

bool is_written_later(ImageSection section) {
  return section >= ImageSection::kNames && section <= ImageSection::kTextSlots;
}

bool are_possible(const BySection<std::uint64_t>& bytes, std::uint64_t file_size) {
  static constexpr BySection<std::uint64_t> kItems = item_sizes();
  for (std::size_t i = 0; i < kImageSections; ++i) {
    if (bytes.of[i] > file_size || bytes.of[i] % kItems.of[i] != 0) return false;
  }
  for (const auto numbered : {ImageSection::kNames, ImageSection::kUids, ImageSection::kTextList}) {
    if (bytes[numbered] / kItems[numbered] >= kTemporary) return false;
  }
  return image_file_bytes(bytes) == file_size;
}

}  // namespace

ImageHeader new_image_header(std::uint64_t random) {
  ImageHeader header;
  header.magic = kMagic;
  header.version = kImageVersion;
  header.layout = layout_fingerprint();
  header.address = kLowest + random % kChoices * kStep;
  return header;
}

Error damaged_image(std::string_view what) {
  return fail(ErrorKind::kDataLoss, "engine_image_damaged", "an image that is not what was written")
      .found(what)
      .next("load the ordinary way, and save the image again");
}

Result<ImageHeader> decode_image_header(ByteView page, std::uint64_t file_size) {
  ImageHeader header;
  std::memcpy(&header, page.data(), std::min(page.size(), sizeof(header)));
  if (header.magic != kMagic) return fail(ErrorKind::kInvalid, "engine_image_foreign", "this file is no image");
  if (page.size() < kImagePage) return damaged_image("a part of a header");
  if (header.version != kImageVersion || header.layout != layout_fingerprint()) {
    return fail(ErrorKind::kUnsupported, "engine_image_version", "an image of another version, or of another machine")
        .expected(std::to_string(kImageVersion))
        .found(std::to_string(header.version))
        .next("load the ordinary way, and save the image again");
  }
  const auto rest = page.subspan(sizeof(header));
  if (std::any_of(rest.begin(), rest.end(), [](std::uint8_t byte) { return byte != 0; })) {
    return damaged_image("something behind the header");
  }
  const bool is_address =
      header.address >= kLowest && (header.address - kLowest) / kStep < kChoices && header.address % kStep == 0;
  if (!is_address || header.label_size > kImageLabelMax || header.file_bytes != file_size ||
      !are_possible(header.bytes, file_size)) {
    return damaged_image("a header that cannot be of this file");
  }
  return header;
}

Bytes image_header_page(const ImageHeader& header) {
  Bytes page(kImagePage, 0);
  std::memcpy(page.data(), &header, sizeof(header));
  return page;
}

io::Placement place_image(const ImageHeader& header) {
  io::Placement out;
  out.address = header.address;
  std::uint64_t offset = kImagePage;
  for (std::size_t i = 0; i < kImageSections; ++i) {
    const auto section = static_cast<ImageSection>(i);
    const std::uint64_t bytes = header.bytes.of[i];
    const std::uint64_t room = room_of(section, bytes);
    out.pieces.push_back({offset, bytes, out.bytes, room, is_written_later(section)});
    offset += round_up(bytes, kImagePage);
    out.bytes += round_up(room, kImagePage);
  }
  return out;
}

std::uint64_t image_file_bytes(const BySection<std::uint64_t>& bytes) {
  std::uint64_t out = kImagePage;
  for (const std::uint64_t size : bytes.of) out += round_up(size, kImagePage);
  return out;
}

crypto::Digest image_digest(const ImageHeader& header, const BySection<ByteView>& sections) {
  crypto::Sha256 hash;
  ImageHeader bare = header;
  bare.digest = {};
  hash.update(image_header_page(bare));
  for (const ByteView section : sections.of) hash.update(section);
  return hash.finish();
}

}  // namespace wary::engine
