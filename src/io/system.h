// The real clock, randomness and file system: what main() hands down. Tests use io/sim_*.h instead.
#pragma once

#include <memory>

#include "base/random.h"
#include "base/time.h"
#include "io/files.h"

namespace wary::io {

std::unique_ptr<Clock> make_system_clock();
std::unique_ptr<Random> make_system_random();  // getrandom(2)
// Paths are taken as they are; the caller keeps them inside its own directories.
std::unique_ptr<Files> make_real_files();

}  // namespace wary::io
