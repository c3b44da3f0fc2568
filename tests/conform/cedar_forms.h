// The other forms of published policies, counted one by one: every policy as JSON and back, every text formatted, the
// published JSON translations, policy sets, formatter snapshots, templates, parser samples and semantic probes.
#pragma once

#include <filesystem>

#include "tests/support/cedar_corpus.h"

namespace wary::test {

// True when the file was one of these, and is counted.
bool run_cedar_form(const std::filesystem::path& file, CorpusCount& count);

}  // namespace wary::test
