// is_api_key: whatever has the form is of one length and alphabet, and one changed character is noticed. make_api_key
// from the input as randomness gives what is taken.
#include <algorithm>
#include <cstdlib>

#include "base/bytes.h"
#include "enforce/api_key.h"

namespace {

class InputRandom final : public wary::Random {
 public:
  explicit InputRandom(wary::ByteView bytes) : bytes_(bytes) {}
  void fill(std::span<std::uint8_t> out) override {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = i < bytes_.size() ? bytes_[i] : 0;
  }

 private:
  wary::ByteView bytes_;
};

void check_form(std::string_view text) {
  using namespace wary::enforce;
  if (!is_api_key(text)) return;
  if (text.size() != kApiKeyBytes || !text.starts_with(kApiKeyPrefix)) std::abort();
  std::string other(text);
  other[10] = other[10] == 'a' ? 'b' : 'a';
  if (is_api_key(other)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  check_form(as_text({data, size}));
  InputRandom random({data, size});
  const std::string key = enforce::make_api_key(random);
  if (!enforce::is_api_key(key)) std::abort();
  check_form(key);
  return 0;
}
