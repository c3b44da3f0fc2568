#include "codec/der.h"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>

#include "codec/text.h"
#include "tests/support/archive.h"
#include "tests/support/skip.h"

using namespace wary;
using namespace wary::codec;

namespace {
Bytes hex(std::string_view text) { return decode_hex(text).value(); }
}  // namespace

TEST_CASE("reads what the writer writes") {
  der::Writer inner;
  inner.add_integer(-129).add_integer(128).add_boolean(true).add_null();
  inner.add(der::kOid, der::oid_from_text("1.2.840.113549.1.1.11").value()).add_bit_string(Bytes{1, 2});
  inner.add_unsigned(Bytes{0x80}).add_text(der::kUtf8String, "x").add(der::context(1), Bytes(200, 7));
  der::Writer outer;
  outer.add_nested(der::kSequence, inner);
  CHECK(der::check_der(outer.bytes()).ok());

  der::Reader top(outer.bytes()), in;
  REQUIRE(top.read_constructed(der::kSequence, in));
  CHECK(top.is_empty());
  ByteView view;
  std::uint64_t number = 0;
  bool flag = false, present = true;
  unsigned unused = 9;
  CHECK_FALSE(in.read_uint64(number));
  REQUIRE(in.read_integer(view));
  CHECK(encode_hex(view) == "ff7f");
  REQUIRE(in.read_uint64(number));
  CHECK(number == 128);
  REQUIRE(in.read_boolean(flag));
  CHECK(flag);
  CHECK_FALSE(in.read_boolean(flag));
  REQUIRE(in.read_null());
  REQUIRE(in.read_oid(view));
  CHECK(der::oid_to_text(view) == "1.2.840.113549.1.1.11");
  REQUIRE(in.read_bit_string(view, unused));
  CHECK(unused == 0);
  CHECK(encode_hex(view) == "0102");
  REQUIRE(in.read_uint64(number));
  CHECK(number == 0x80);
  REQUIRE(in.read_optional(der::kInteger, view, present));
  CHECK_FALSE(present);
  REQUIRE(in.read_optional(der::kUtf8String, view, present));
  CHECK(as_text(view) == "x");
  REQUIRE(in.read(der::context(1), view));
  CHECK(view.size() == 200);
  REQUIRE(in.read_optional(der::kInteger, view, present));
  CHECK_FALSE(present);
  CHECK(in.is_empty());
}

TEST_CASE("a method that fails has not moved the reader") {
  const Bytes bytes = hex("020101020102");
  der::Reader reader(bytes);
  ByteView view;
  bool flag = false;
  CHECK_FALSE(reader.read(der::kOid, view));
  CHECK_FALSE(reader.read_boolean(flag));
  CHECK_FALSE(reader.read_null());
  CHECK_FALSE(reader.skip(der::kSequence));
  CHECK(reader.rest().size() == 6);
  REQUIRE(reader.read_raw(view));
  CHECK(encode_hex(view) == "020101");
}

TEST_CASE("refuses every other encoding of the same value") {
  for (const char* text :
       {"",         "02",       "0201",       "0281010a",     "028200010a", "0280010000", "02850000000001ff",
        "1f0100",   "02020001", "0202ffff",   "0200",         "010101",     "010100ff",   "0500ff",
        "050100",   "0300",     "030108",     "030107",       "03020101",   "0600",       "060180",
        "06028001", "0601ff",   "3003020001", "300302010100", "2403040161", "100100",     "0000"}) {
    CHECK_MESSAGE(!der::check_der(hex(text)).ok(), text);
  }
  CHECK(der::check_der(hex("0201010201")).error().code == "der_trailing");
  CHECK(der::check_der(hex("3004020101ff")).error().code == "der_syntax");
  CHECK(der::check_der(hex("3004020101ff")).error().where == "byte 5");
  CHECK(der::check_der(hex("03020780")).ok());
}

TEST_CASE("nesting stops at its limit") {
  const auto nested = [](int depth) {
    Bytes bytes;
    for (int i = 0; i < depth; ++i) {
      der::Writer writer;
      writer.add(der::kSequence, bytes);
      bytes = writer.bytes();
    }
    return bytes;
  };
  CHECK(der::check_der(nested(32)).ok());
  CHECK(der::check_der(nested(33)).error().code == "der_depth");
}

TEST_CASE("object identifiers keep their text") {
  for (const char* text :
       {"0.0", "0.39", "1.0", "2.0", "2.39", "2.40", "2.999.1", "1.3.6.1.4.1.311", "2.18446744073709551535"}) {
    CHECK(der::oid_to_text(der::oid_from_text(text).value()) == text);
  }
  for (const char* text : {"", "1", "3.1", "0.40", "1.02", "1..2", "1.2.", "1.a", "1.-2", "1.18446744073709551616"}) {
    CHECK_MESSAGE(der::oid_from_text(text).error().code == "der_oid_syntax", text);
  }
  CHECK_FALSE(der::oid_to_text(Bytes{0x80}));
  CHECK_FALSE(der::oid_to_text(Bytes(12, 0xff)));
  CHECK_FALSE(der::oid_to_text(hex("2affffffffffffffffffff7f")));
}

TEST_CASE("walks every published hostile input in bounded time") {
  const auto data = test::testdata();
  if (!data) WARY_SKIP("WARY_TESTDATA is not set");
  const test::UnpackedArchive corpus(*data + "/craft/der_fuzz.tar.gz");
  REQUIRE(corpus.ok());
  int files = 0, accepted = 0;
  std::chrono::steady_clock::duration slowest{};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(corpus.path())) {
    if (!entry.is_regular_file()) continue;
    const std::string text = test::read_file(entry.path()).value();
    const auto start = std::chrono::steady_clock::now();
    accepted += der::check_der(as_bytes(text)).ok() ? 1 : 0;
    slowest = std::max(slowest, std::chrono::steady_clock::now() - start);
    ++files;
  }
  CHECK(files == 983);
  CHECK(accepted > 0);
  CHECK(accepted < files);
  MESSAGE(accepted << " of " << files << " are DER");
  CHECK(slowest < std::chrono::milliseconds(100));
}
