// Image: the entities of a snapshot as a file that is ready to decide by, so that a restart costs milliseconds.
//
//   WARY_RETURN_IF_ERROR(save_image(*snapshot, files, "entities.image", {.random = random.number(), .label = "r 17"}));
//   auto opened = open_image(files, "entities.image", policies);      // after a restart
//   if (opened.ok() && opened->label == "r 17") snapshot = opened->snapshot;
//   else snapshot = ...                                               // load and Snapshot::make, as without an image
//
// The file is mapped at the address it was written for and used as it lies there; what later snapshots of the line
// change is copied page by page. Policies are no part of it: they are compiled against what was opened. It holds what
// the snapshot reaches and nothing else, whatever its line has been through.
//
// Trust: the file holds the secret seed of the hash (mode 0600) and pointers. Whoever can write it is this process's
// own user, and could do worse. The digest is against damage; what lies behind a good digest is checked as well, so
// that no image, however made, leads to memory that is not its own.
//
// A cache, not a format: it is refused by another version of the engine or kind of machine, and then made anew. Replace
// it, never change it while it is open: pages are read from the file as they are needed, and one that the disk no
// longer gives ends the process (SIGBUS). Saving: any thread, any snapshot, while later ones are made; it takes as much
// memory as the file has bytes. Limits: kImageLabelMax bytes of label, values kImageDepthMax deep.
// Errors: those of io/files.h, and
//   engine_image_foreign   no image
//   engine_image_version   of another version, or of a machine that lays memory out otherwise
//   engine_image_damaged   cut, or not what was written
//   engine_image_address   its addresses are taken in this process: load the ordinary way, and save again
//   engine_image_depth, engine_image_label   beyond the limits (saving)
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/engine.h"

namespace wary::io {
class Files;
}

namespace wary::engine {

constexpr std::size_t kImageLabelMax = 256;
constexpr std::size_t kImageDepthMax = 512;

struct ImageOptions {
  std::uint64_t random = 0;     // chooses the address
  std::string_view label = {};  // the caller's: what it is an image of
};

struct OpenedImage {
  SnapshotPtr snapshot;
  std::string label;
};

// Durable when it returns. After a power cut the file is the old or the new one.
Status save_image(const Snapshot& snapshot, io::Files& files, std::string_view path, const ImageOptions& options);

// The policies as Snapshot::make takes them.
Result<OpenedImage> open_image(io::Files& files, std::string_view path, std::span<const PolicyInput> policies);
inline Result<OpenedImage> open_image(io::Files& files, std::string_view path,
                                      std::span<const cedar::Policy> policies) {
  return open_image(files, path, numbered(policies));
}

}  // namespace wary::engine
