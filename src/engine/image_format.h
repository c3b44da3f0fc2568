// What saving and opening an image (image.h) agree on: header and layout. Private to engine/.
//
// The file is the header, a page, then the sections one after another, each from a page's beginning. In memory the
// sections lie from the header's address on in the same order, those that grow with room for what Steady would have
// taken. Integers and structs are the machine's own, which `layout` tells.
//
// Everything that is pointed to lies in the order in which a walk comes to it: texts by number, then ids by uid;
// entities by uid; of one, what its values hold (attributes, tags, timed ones; what is inside a value before it), then
// its timed cells. So a check is the same walk, and what is pointed to twice, or not, is damage.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/hash.h"
#include "engine/entities.h"
#include "engine/image.h"
#include "io/placed_memory.h"

namespace wary::engine {

constexpr std::uint64_t kImagePage = 4096;
constexpr std::uint32_t kImageVersion = 1;

enum class ImageSection : std::uint8_t {
  kTexts,      // Text, each from a multiple of 4: of texts, then of ids
  kNames,      // const Text*
  kUids,       // Symbols::Uid
  kTextList,   // const Text*
  kNameSlots,  // of the hash indexes
  kUidSlots,
  kTextSlots,
  kClosures,  // std::uint32_t
  kFilters,
  kValues,  // sets, records, addresses, timed cells, each from a multiple of 8
  kBlocks,  // EntityBlock, each from a multiple of 8
  kPages,   // EntityTable::Page
  kInner,   // std::uint32_t: who is a parent
};
constexpr std::size_t kImageSections = 13;

template <typename T>
struct BySection {
  std::array<T, kImageSections> of{};
  constexpr T& operator[](ImageSection section) { return of[static_cast<std::size_t>(section)]; }
  constexpr const T& operator[](ImageSection section) const { return of[static_cast<std::size_t>(section)]; }
};

struct ImageHeader {
  std::array<char, 8> magic{};
  std::uint32_t version = 0;
  std::uint32_t label_size = 0;
  std::uint64_t layout = 0;
  std::uint64_t address = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t seed = 0;
  BySection<std::uint64_t> bytes;  // of each section
  std::array<char, kImageLabelMax> label{};
  crypto::Digest digest{};  // SHA-256 of the file, with zeros here
};
static_assert(sizeof(ImageHeader) <= kImagePage && std::has_unique_object_representations_v<ImageHeader>);

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t to) { return (value + to - 1) / to * to; }

// Of a block, without what a parent named twice has left free.
inline std::uint64_t image_block_bytes(const EntityBlock& block) {
  const std::uint64_t members = std::uint64_t{block.attributes} + block.tags;
  return sizeof(EntityBlock) + members * (sizeof(Cell) + sizeof(std::uint32_t)) + block.parents * sizeof(std::uint32_t);
}

// A header with what does not depend on the world.
ImageHeader new_image_header(std::uint64_t random);
// Of a file's first page. Errors: engine_image_foreign, engine_image_version, engine_image_damaged: the sections are
// not such as could be, or the file is longer or shorter than they are.
Result<ImageHeader> decode_image_header(ByteView page, std::uint64_t file_size);
Bytes image_header_page(const ImageHeader& header);

// Where the sections lie, in file and memory. The pieces are in the order of ImageSection.
io::Placement place_image(const ImageHeader& header);
std::uint64_t image_file_bytes(const BySection<std::uint64_t>& bytes);

// The digest over a header, whose own is taken for zeros, and what follows it in the file: each section with the rest
// of its last page.
crypto::Digest image_digest(const ImageHeader& header, const BySection<ByteView>& sections);

Error damaged_image(std::string_view what);

// An opened image's sections, where they lie.
struct ImageMemory {
  BySection<std::span<std::uint8_t>> sections;
  template <typename T>
  std::span<T> array(ImageSection section) const {
    const auto& bytes = sections[section];
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

// Whether every pointer and number in it leads to what it should: then nothing that is done with it touches other
// memory. The number of entities. Error: engine_image_damaged.
Result<std::size_t> check_image(const ImageMemory& image);

}  // namespace wary::engine
