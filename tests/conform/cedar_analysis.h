// What the published Cedar cases say about policy analysis: tables of findings and of comparisons, each verdict of each
// request environment counted by itself. Counter-examples are ours: each was replayed before it came.
#pragma once

#include "tests/support/cedar_corpus.h"

namespace wary::test {

// Looks at one file; true when it is a table of theirs, so that nobody else need look at it.
bool run_cedar_analysis(const std::filesystem::path& file, CorpusCount& count);

}  // namespace wary::test
