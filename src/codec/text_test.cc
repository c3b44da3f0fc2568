#include "codec/text.h"

#include <doctest/doctest.h>

using namespace wary;
using namespace wary::codec;

TEST_CASE("base64 gives the RFC 4648 vectors and reads them back") {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
                                                         {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}};
  for (const auto& [plain, text] : vectors) {
    CHECK(encode_base64(as_bytes(plain)) == text);
    CHECK(decode_base64(text).value() == to_bytes(plain));
    const std::string url = encode_base64url(as_bytes(plain));
    CHECK(url.find('=') == std::string::npos);
    CHECK(decode_base64url(url).value() == to_bytes(plain));
  }
  CHECK(encode_base64(Bytes{0xfb, 0xff}) == "+/8=");
  CHECK(encode_base64url(Bytes{0xfb, 0xff}) == "-_8");
}

TEST_CASE("base64 refuses every second spelling of the same bytes") {
  for (const char* text : {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "Zm9v\n", " Zm9v", "Zm9-", "====", "Zg==Zg=="}) {
    CHECK_MESSAGE(decode_base64(text).error().code == "base64_syntax", text);
  }
  for (const char* text : {"Zg==", "Zh", "Zm9", "A", "Zm+v", "Zm 9v"}) {
    CHECK_MESSAGE(decode_base64url(text).error().code == "base64_syntax", text);
  }
  CHECK(decode_base64("Zm9!").error().where == "byte 3");
}

TEST_CASE("hex reads both cases and refuses odd lengths and other letters") {
  CHECK(encode_hex(Bytes{0x00, 0xaf}) == "00af");
  CHECK(decode_hex("00aF").value() == Bytes{0x00, 0xaf});
  for (const char* text : {"0", "0g", "0x", " 0"}) CHECK(decode_hex(text).error().code == "hex_syntax");
}

TEST_CASE("percent decoding refuses a cut or wrong escape") {
  CHECK(encode_percent("a b/\xc3\xa9~") == "a%20b%2F%C3%A9~");
  CHECK(decode_percent("a%20b%2f+").value() == "a b/+");
  for (const char* text : {"%", "%4", "%4g", "a%"}) CHECK(decode_percent(text).error().code == "percent_syntax");
}

TEST_CASE("UTF-8 accepts the shortest forms only, up to U+10FFFF and without surrogates") {
  for (const char* text : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(is_utf8(text));
  }
  for (const char* text : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe1\x80",
                           "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xc3"}) {
    CHECK_FALSE(is_utf8(text));
  }
  for (const std::uint32_t code : {0x41u, 0xe9u, 0x20acu, 0x1f600u}) {
    std::string text;
    append_utf8(text, code);
    CHECK(is_utf8(text));
    CHECK(utf8_length_at(text, 0) == text.size());
  }
}

TEST_CASE("ASCII case folding leaves every other byte alone") {
  CHECK(equals_ignoring_case("Content-LENGTH", "content-length"));
  CHECK_FALSE(equals_ignoring_case("\xc9", "\xe9"));
  CHECK_FALSE(equals_ignoring_case("[", "{"));
  CHECK_FALSE(equals_ignoring_case("a", "ab"));
  CHECK(to_lower(std::string_view("AbZ[")) == "abz[");
  CHECK(trim(" \ta b\t ") == "a b");
  CHECK(trim(" \t").empty());
}

TEST_CASE("nothing unprintable is shown as it is") {
  std::string out;
  append_printable(out, "a\x1b[0m\xff\n");
  CHECK(out == "a\\x1b[0m\\xff\\x0a");
  CHECK(to_string(position_of("ab\ncd", 4)) == "line 2, column 2");
  CHECK(position_of("ab\n", 99) == TextPosition{2, 1});
}

TEST_CASE("a cookie is found by its exact name and not when it occurs twice") {
  CHECK(find_cookie("a=1; session=x=y; b=2", "session") == "x=y");
  CHECK(find_cookie("session=1", "session") == "1");
  CHECK(find_cookie("a=1;;  session=2 ", "session") == "2");
  CHECK_FALSE(find_cookie("Session=1; sessions=2", "session"));
  CHECK_FALSE(find_cookie("session=1; session=2", "session"));
  CHECK_FALSE(find_cookie("session", "session"));
  CHECK_FALSE(find_cookie("", "session"));
}
