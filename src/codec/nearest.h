// "Did you mean": the name that was most likely meant by one that is none.
//
//   const std::string near = codec::nearest("shp", {"shop", "metrics"});   // "shop"
//
// Pure; any thread. Limits: names of up to 64 bytes, and so much work for one question that a list of any length is
// answered in some 10 ms; what stands behind that is not looked at.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace wary::codec {

// The candidate with the fewest edits of bytes, ASCII's case counting for none, of at most a third of what was written;
// otherwise the one that is the same behind its last "::" or "/", the right name in another room. "" where none is
// near.
std::string nearest(std::string_view written, const std::vector<std::string_view>& candidates);
// The same as a sentence, "did you mean shop?", or "".
std::string did_you_mean(std::string_view written, const std::vector<std::string_view>& candidates);

}  // namespace wary::codec
