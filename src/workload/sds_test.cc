#include "workload/sds.h"

#include <doctest/doctest.h>

#include "codec/protobuf.h"
#include "crypto/pem.h"

using namespace wary;
using namespace wary::workload;

namespace {

using Heard = SdsSubscription::Heard;

std::vector<std::string> fields_of(std::string_view message, std::uint32_t number) {
  std::vector<std::string> out;
  codec::ProtoReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number == number) out.emplace_back(field->bytes);
  }
  CHECK(reader.ok());
  return out;
}

std::string only(std::string_view message, std::initializer_list<std::uint32_t> path) {
  std::string now(message);
  for (const std::uint32_t number : path) {
    const auto found = fields_of(now, number);
    REQUIRE(found.size() == 1);
    now = found[0];
  }
  return now;
}

SdsRequest asks(std::vector<std::string> names, std::string nonce = {}) {
  return {.version = nonce, .names = std::move(names), .nonce = nonce, .is_refusal = false, .reason = {}};
}

const SdsCaller kCaller{{"spiffe://a/x", "spiffe://a/y"}, {"a", "b"}, "a"};

}  // namespace

TEST_CASE("a request for secrets is read as it was written") {
  SdsRequest request = asks({"default", "ROOTCA"}, "3");
  request.is_refusal = true;
  request.reason = "no such key";
  const auto read = decode_sds_request(encode_sds_request(request));
  REQUIRE(read);
  CHECK(*read == request);
  CHECK(decode_sds_request("")->names.empty());
}

TEST_CASE("requests that are none, too large or for something else are refused") {
  const auto refused = [](std::uint32_t number, std::string_view text) {
    std::string message;
    codec::append_proto_bytes(message, number, text);
    const auto read = decode_sds_request(message);
    return !read && read.error().code == "sds_message";
  };
  CHECK(refused(4, "type.googleapis.com/envoy.config.cluster.v3.Cluster"));
  CHECK(refused(3, ""));
  CHECK(refused(3, std::string(2049, 'x')));
  CHECK(refused(1, std::string(2049, 'x')));
  CHECK(refused(6, "\xff"));
  CHECK(!decode_sds_request("\x08\1"));
  CHECK(!decode_sds_request("\x1a\5ab"));
  std::string many;
  for (int i = 0; i < 101; ++i) codec::append_proto_bytes(many, 3, "n");
  CHECK(!decode_sds_request(many));
  // Who it says it is, and what is newer than this, count for nothing.
  CHECK(!refused(2, "\xff"));
  CHECK(!refused(7, "x"));
}

TEST_CASE("a stream is answered once for each question and each content") {
  SdsSubscription stream;
  CHECK(!stream.is_begun());
  CHECK(stream.hear(asks({"default"})) == Heard::kAsks);
  CHECK(stream.is_due("one"));
  stream.answered("one");
  CHECK(stream.version() == "1");
  CHECK(!stream.is_due("one"));
  CHECK(stream.hear(asks({"default"}, "1")) == Heard::kTaken);
  CHECK(!stream.is_due("one"));
  CHECK(stream.is_due("two"));
  stream.answered("two");
  CHECK(stream.next_version() == "3");
  // About the first answer still: it crossed the second on its way.
  CHECK(stream.hear(asks({"other"}, "1")) == Heard::kStale);
  CHECK(stream.names() == std::vector<std::string>{"default"});
  CHECK(!stream.is_due("two"));
  // Other names are another question.
  CHECK(stream.hear(asks({"default", "ROOTCA"}, "2")) == Heard::kAsks);
  CHECK(stream.is_due("two"));
}

TEST_CASE("what was refused is not sent again, another is") {
  SdsSubscription stream;
  (void)stream.hear(asks({"default"}));
  stream.answered("one");
  SdsRequest refusal = asks({"default"}, "1");
  refusal.is_refusal = true;
  CHECK(stream.hear(refusal) == Heard::kRefused);
  CHECK(!stream.is_due("one"));
  CHECK(stream.is_due("two"));
}

TEST_CASE("a client that comes back with an old version is answered") {
  SdsSubscription stream;
  SdsRequest request = asks({"default"});
  request.version = "7";
  CHECK(stream.hear(request) == Heard::kAsks);
  CHECK(stream.is_due(""));
}

TEST_CASE("names are the caller's SVIDs and the bundles it may have, or it is refused") {
  auto wanted = wanted_secrets({"default", "spiffe://a/y", "ROOTCA", "spiffe://b", "ALL"}, kCaller);
  REQUIRE(wanted);
  CHECK(wanted->svids ==
        std::map<std::string, std::string>{{"default", "spiffe://a/x"}, {"spiffe://a/y", "spiffe://a/y"}});
  CHECK(wanted->bundles == std::map<std::string, std::string>{{"ROOTCA", "a"}, {"spiffe://b", "b"}});
  CHECK(wanted->all_bundles);
  wanted = wanted_secrets({}, kCaller);
  REQUIRE(wanted);
  CHECK(wanted->svids.size() == 2);
  CHECK(wanted->bundles == std::map<std::string, std::string>{{"spiffe://a", "a"}, {"spiffe://b", "b"}});
  CHECK(!wanted->all_bundles);
  for (const char* name : {"spiffe://a/z", "spiffe://c", "Default", "spiffe://", "spiffe://a/", "a"}) {
    const auto refused = wanted_secrets({"default", name}, kCaller);
    REQUIRE(!refused);
    CHECK(refused.error().code == "sds_not_yours");
  }
}

TEST_CASE("an answer holds secrets by their fields") {
  SdsAnswer answer{.version = "4", .nonce = "4", .certificates = {}, .bundles = {}, .all = {}};
  answer.certificates = {{"default", "CHAIN", "KEY"}};
  answer.bundles = {{"ROOTCA", "ROOTS"}};
  answer.all = {{"a", "A"}, {"b", "B"}};
  const std::string message = encode_sds_answer(answer);
  const std::string type = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
  CHECK(only(message, {1}) == "4");
  CHECK(only(message, {4}) == type);
  CHECK(only(message, {5}) == "4");
  const auto resources = fields_of(message, 2);
  REQUIRE(resources.size() == 3);
  for (const std::string& resource : resources) CHECK(only(resource, {1}) == type);
  CHECK(only(resources[0], {2, 1}) == "default");
  CHECK(only(resources[0], {2, 2, 1, 2}) == "CHAIN");
  CHECK(only(resources[0], {2, 2, 2, 2}) == "KEY");
  CHECK(only(resources[1], {2, 1}) == "ROOTCA");
  CHECK(only(resources[1], {2, 4, 1, 2}) == "ROOTS");
  CHECK(only(resources[2], {2, 1}) == "ALL");
  const std::string extension = only(resources[2], {2, 4, 12});
  CHECK(only(extension, {1}) == "envoy.tls.cert_validator.spiffe");
  const auto domains = fields_of(only(extension, {2, 2}), 1);
  REQUIRE(domains.size() == 2);
  CHECK(only(domains[1], {1}) == "b");
  CHECK(only(domains[1], {2, 2}) == "B");
}

TEST_CASE("certificates one after another become PEM, and what is none is left out") {
  const std::string one = std::string("\x30\x82\1\0", 4) + std::string(256, 'a');
  const std::string two = "\x30\x81\x80" + std::string(128, 'b');
  const auto blocks = crypto::decode_pem(pem_of_certificates(one + two + "rest"));
  REQUIRE(blocks);
  REQUIRE(blocks->size() == 2);
  CHECK(as_text((*blocks)[0].bytes) == one);
  CHECK(as_text((*blocks)[1].bytes) == two);
  CHECK(pem_of_certificates(one.substr(0, 100)).empty());
  CHECK(pem_of_certificates("").empty());
}
