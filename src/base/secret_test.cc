#include "base/secret.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

using namespace wary;

TEST_CASE("a secret is copied in by name and moves without a trace") {
  Secret secret = Secret::copy_of(as_bytes("open sesame"));
  CHECK(as_text(secret.reveal()) == "open sesame");
  Secret moved = std::move(secret);
  CHECK(as_text(moved.reveal()) == "open sesame");
  CHECK(secret.empty());  // NOLINT: a moved-from secret is empty
  Secret assigned(3);
  assigned = std::move(moved);
  CHECK(assigned.size() == 11);
  CHECK(moved.reveal().empty());  // NOLINT: as above
}

TEST_CASE("taking bytes leaves none behind") {
  Bytes bytes = to_bytes("key material");
  const std::uint8_t* place = bytes.data();
  const std::size_t size = bytes.size();
  const Secret secret = Secret::take(bytes);
  CHECK(bytes.empty());
  // The vector keeps its storage: what lies there must be zeros.
  for (std::size_t i = 0; i < size; ++i) CHECK(place[i] == 0);
  CHECK(as_text(secret.reveal()) == "key material");
}

TEST_CASE("a new secret is zeros and can be filled") {
  Secret secret(5000);
  CHECK(secret.size() == 5000);
  CHECK(secret.reveal()[4999] == 0);
  secret.reveal_mutable()[4999] = 7;
  CHECK(secret.reveal()[4999] == 7);
  CHECK(Secret().empty());
  CHECK(Secret(0).empty());
}

TEST_CASE("constant-time equality is equality") {
  CHECK(equals_in_constant_time(as_bytes("abc"), as_bytes("abc")));
  CHECK_FALSE(equals_in_constant_time(as_bytes("abc"), as_bytes("abd")));
  CHECK_FALSE(equals_in_constant_time(as_bytes("abc"), as_bytes("ab")));
  CHECK(equals_in_constant_time({}, {}));
  std::string text = "abc";
  wipe(text.data(), text.size());
  CHECK(text == std::string(3, '\0'));
  wipe(nullptr, 0);
}

TEST_CASE("big-endian integers read back as written") {
  Bytes bytes;
  append_big_endian<std::uint32_t>(bytes, 0x01020304);
  append_big_endian<std::uint16_t>(bytes, 0xfffe);
  CHECK(bytes == Bytes{1, 2, 3, 4, 0xff, 0xfe});
  CHECK(read_big_endian<std::uint32_t>(bytes.data()) == 0x01020304);
  CHECK(read_big_endian<std::uint16_t>(bytes.data() + 4) == 0xfffe);
}
