#include "codec/proxy_protocol.h"

#include <doctest/doctest.h>

#include "codec/json.h"
#include "codec/text.h"
#include "tests/support/skip.h"
#include "tests/support/testdata.h"

using namespace wary;

namespace {

Bytes header_of(std::uint8_t command, std::uint8_t family, const std::string& rest) {
  std::string out("\r\n\r\n\0\r\nQUIT\n", 12);
  out += static_cast<char>(command);
  out += static_cast<char>(family);
  out += static_cast<char>(rest.size() >> 8);
  out += static_cast<char>(rest.size() & 0xff);
  out += rest;
  return Bytes(out.begin(), out.end());
}

std::string v6(std::initializer_list<int> groups) {
  std::string out;
  for (const int group : groups) {
    out += static_cast<char>(group >> 8);
    out += static_cast<char>(group & 0xff);
  }
  return out;
}

}  // namespace

TEST_CASE("a header is read whole, or more of it is asked for") {
  const std::string addresses("\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb", 12);
  Bytes bytes = header_of(0x21, 0x11, addresses);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto part = codec::parse_proxy_v2(ByteView(bytes).first(size));
    REQUIRE(part.ok());
    CHECK_FALSE(part->has_value());
  }
  append(bytes, as_bytes("\x16\x03 and TLS"));
  const auto header = codec::parse_proxy_v2(bytes);
  REQUIRE((header.ok() && header->has_value()));
  CHECK((*header)->source == "192.0.2.1:56324");
  CHECK((*header)->destination == "198.51.100.2:443");
  CHECK((*header)->size == 28);
}

TEST_CASE("a balancer says that the client came by TLS, and no more is taken of that") {
  const auto over_tls = [](const std::string& value) {
    const std::string size{static_cast<char>(value.size() >> 8), static_cast<char>(value.size())};
    const auto header = codec::parse_proxy_v2(header_of(0x21, 0x11, std::string(12, '\1') + "\x20" + size + value));
    return header.ok() && header->has_value() ? std::string((*header)->came_by_tls ? "tls" : "plain") : "refused";
  };
  const std::string verified(4, '\0');
  CHECK(over_tls("\x01" + verified) == "tls");
  CHECK(over_tls("\x07" + verified + std::string("\x21\0\x07TLSv1.3", 10)) == "tls");
  CHECK(over_tls(std::string(1, '\0') + verified) == "plain");
  CHECK(over_tls("\x06" + verified) == "plain");  // of a certificate, but not of TLS
  CHECK(over_tls("\x01") == "refused");
  CHECK(over_tls("") == "refused");
  const auto silent = codec::parse_proxy_v2(header_of(0x21, 0x11, std::string(12, '\1')));
  CHECK_FALSE((*silent)->came_by_tls);
}

TEST_CASE("an IPv6 address is written as RFC 5952 has it") {
  const auto source = [](std::initializer_list<int> groups) {
    const auto header =
        codec::parse_proxy_v2(header_of(0x21, 0x21, v6(groups) + v6({0, 0, 0, 0, 0, 0, 0, 1, 80, 443})));
    REQUIRE((header.ok() && header->has_value()));
    CHECK((*header)->destination == "[::1]:443");
    return (*header)->source;
  };
  CHECK(source({0x2001, 0xdb8, 0, 0, 0, 0, 0, 1}) == "[2001:db8::1]:80");
  CHECK(source({0x2001, 0, 0, 1, 0, 0, 0, 1}) == "[2001:0:0:1::1]:80");
  CHECK(source({1, 2, 3, 4, 5, 6, 7, 8}) == "[1:2:3:4:5:6:7:8]:80");
  CHECK(source({0, 0, 0, 0, 0, 0, 0, 0}) == "[::]:80");
  CHECK(source({1, 0, 0, 0, 0, 0, 0, 0}) == "[1::]:80");
}

TEST_CASE("what is no header, too long or cut off is refused") {
  for (const Bytes& bytes :
       {header_of(0x11, 0x11, std::string(12, '\0')), header_of(0x22, 0x11, std::string(12, '\0')),
        header_of(0x21, 0x11, std::string(11, '\0')), header_of(0x21, 0x21, std::string(35, '\0')),
        header_of(0x21, 0x11, std::string(5000, '\0')), header_of(0x21, 0x11, std::string(14, '\0')),
        header_of(0x21, 0x11, std::string(12, '\0') + std::string("\x05\x00\x81", 3) + std::string(129, 'x')),
        header_of(0x21, 0x11, std::string(12, '\0') + std::string("\x03\x00\x04xxxx", 7)),
        header_of(0x21, 0x11, std::string(12, '\0') + std::string("\x03\x00\x03xxx", 6))}) {
    const auto header = codec::parse_proxy_v2(bytes);
    REQUIRE_FALSE(header.ok());
    CHECK(header.error().code == "proxy_header");
  }
  CHECK_FALSE(codec::parse_proxy_v2(as_bytes("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n")).ok());
  CHECK_FALSE(codec::parse_proxy_v2(as_bytes("\r\n\r\nX")).ok());
}

TEST_CASE("published PROXY protocol vectors of version 2") {
  const auto folder = wary::test::testdata();
  if (!folder) WARY_SKIP("WARY_TESTDATA is not set");
  const auto text = wary::test::read_file(*folder + "/access/proxyproto/vectors.json");
  if (!text) WARY_SKIP("no access/proxyproto/vectors.json there");
  const auto cases = codec::parse_json(*text);
  REQUIRE(cases.ok());
  std::size_t ran = 0;
  for (const codec::Json& one : cases->items()) {
    const std::string id(one.string_or("id", "")), expect(one.string_or("expect", ""));
    if (id.starts_with("v1/") && expect != "reject") continue;  // version 1 is not spoken
    ++ran;
    const auto raw = codec::decode_base64(one.string_or("raw_b64", ""));
    REQUIRE(raw.ok());
    const auto header = codec::parse_proxy_v2(*raw);
    if (expect == "reject") {
      CHECK_MESSAGE(!(header.ok() && header->has_value()), id);
      continue;
    }
    REQUIRE_MESSAGE((header.ok() && header->has_value()), id);
    CHECK_MESSAGE((*header)->size == raw->size(), id);
    CHECK_MESSAGE((*header)->source == (expect == "ok" ? one.string_or("src", "") : ""), id);
  }
  CHECK(ran >= 20);
}
