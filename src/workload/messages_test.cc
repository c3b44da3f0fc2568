#include "workload/messages.h"

#include <doctest/doctest.h>

#include "codec/protobuf.h"

using namespace wary;
using namespace wary::workload;

namespace {

// The bytes of a message's fields of one number.
std::vector<std::string> fields(std::string_view message, std::uint32_t number) {
  std::vector<std::string> out;
  codec::ProtoReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number == number) out.emplace_back(field->bytes);
  }
  CHECK(reader.ok());
  return out;
}

std::string texts(std::uint32_t number, std::initializer_list<std::string_view> values) {
  std::string out;
  for (const std::string_view value : values) codec::append_proto_bytes(out, number, value);
  return out;
}

}  // namespace

TEST_CASE("SVIDs and bundles carry the numbers of the specification") {
  const std::string svids =
      encode_x509_svids({{"spiffe://a/b", "chain", "key", "bundle", "hint"}, {"spiffe://a/c", "x", "y", "z", ""}},
                        {{"spiffe://c", "other"}});
  const auto each = fields(svids, 1);
  REQUIRE(each.size() == 2);
  const char* expected[] = {"spiffe://a/b", "chain", "key", "bundle", "hint"};
  for (std::uint32_t i = 0; i < 5; ++i) CHECK(fields(each[0], i + 1) == std::vector<std::string>{expected[i]});
  CHECK(fields(each[1], 5).empty());
  const auto map = fields(svids, 3);
  REQUIRE(map.size() == 1);
  CHECK(fields(map[0], 1) == std::vector<std::string>{"spiffe://c"});
  CHECK(fields(map[0], 2) == std::vector<std::string>{"other"});
  CHECK(fields(encode_x509_bundles({{"a", "b"}}), 2).size() == 1);
  CHECK(fields(encode_jwt_bundles({{"a", "b"}}), 1).size() == 1);
  CHECK(fields(fields(encode_jwt_svids({{"i", "t", "h"}}), 1).at(0), 2) == std::vector<std::string>{"t"});
}

TEST_CASE("claims become a Struct of every kind of value") {
  const auto claims = codec::parse_json(R"({"a":[1,"x"],"b":true,"n":null,"o":{"d":1.5}})");
  const std::string message = encode_validated("spiffe://a/b", *claims);
  CHECK(fields(message, 1) == std::vector<std::string>{"spiffe://a/b"});
  const auto members = fields(fields(message, 2).at(0), 1);
  REQUIRE(members.size() == 4);
  CHECK(fields(members[0], 1) == std::vector<std::string>{"a"});
  CHECK(fields(fields(fields(members[0], 2).at(0), 6).at(0), 1).size() == 2);
}

TEST_CASE("requests are read within their limits") {
  const auto good = decode_jwt_request(texts(1, {"a", "b"}) + texts(2, {"spiffe://a/b"}) + texts(9, {"newer"}));
  REQUIRE(good.ok());
  CHECK(good->audiences == std::vector<std::string>{"a", "b"});
  CHECK(good->spiffe_id == "spiffe://a/b");
  CHECK(decode_jwt_request(texts(1, {std::string(256, 'x')})).ok());
  std::string many;
  for (int i = 0; i < 17; ++i) many += texts(1, {"a" + std::to_string(i)});
  std::string number;
  codec::append_proto_varint(number, 1, 7);
  for (const std::string& bad : {std::string(), texts(1, {""}), texts(1, {std::string(257, 'x')}), texts(1, {"a", "a"}),
                                 many, number, texts(1, {"a"}) + "\x0a"}) {
    CHECK(decode_jwt_request(bad).error().code == "workload_message");
  }
  CHECK(decode_validate_request(texts(1, {"a"}) + texts(2, {"t"}))->token == "t");
  for (const std::string& bad :
       {texts(1, {"a"}), texts(2, {"t"}), texts(1, {"a"}) + texts(2, {std::string(16385, 'x')}), number}) {
    CHECK(decode_validate_request(bad).error().code == "workload_message");
  }
  CHECK(check_empty_request("").ok());
  CHECK(check_empty_request(texts(3, {"newer"})).ok());
  CHECK(!check_empty_request("\x0a").ok());
}
