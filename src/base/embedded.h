// Files that were compiled in: schemas and the console. Each set is a function made by cmake/embed.cmake; the bytes
// live in the program's read-only data and are valid for ever.
#pragma once

#include <span>
#include <string_view>

namespace wary::embedded {

struct File {
  std::string_view path;  // relative to the set's root
  std::string_view bytes;
};

std::span<const File> kinds();            // schema/kinds/*.json
std::span<const File> console();          // console/dist/**, empty until it is built
std::span<const File> platform_schema();  // schema/wary.cedarschema

}  // namespace wary::embedded
