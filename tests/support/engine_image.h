// An image (engine/image.h) as bytes: what tests and fuzz targets change before it is opened.
#pragma once

#include <algorithm>

#include "engine/image_format.h"
#include "io/sim_files.h"

namespace wary::test {

// Its digest made good, so that what lies behind the digest is looked at; false: the header is none.
inline bool seal_image(Bytes& file) {
  const ByteView all(file);
  auto header =
      engine::decode_image_header(all.first(std::min<std::size_t>(file.size(), engine::kImagePage)), file.size());
  if (!header.ok()) return false;
  engine::BySection<ByteView> sections;
  std::uint64_t offset = engine::kImagePage;
  for (std::size_t i = 0; i < engine::kImageSections; ++i) {
    const std::uint64_t bytes = engine::round_up(header->bytes.of[i], engine::kImagePage);
    sections.of[i] = all.subspan(offset, bytes);
    offset += bytes;
  }
  header->digest = engine::image_digest(*header, sections);
  std::ranges::copy(engine::image_header_page(*header), file.begin());
  return true;
}

inline void put_file(io::Files& files, std::string_view path, ByteView bytes) {
  WARY_CHECK(io::write_file_atomically(files, path, bytes).ok());
}

inline Bytes get_file(io::Files& files, std::string_view path) {
  auto bytes = io::read_file(files, path, std::size_t{1} << 30);
  WARY_CHECK(bytes.ok());
  return *std::move(bytes);
}

}  // namespace wary::test
