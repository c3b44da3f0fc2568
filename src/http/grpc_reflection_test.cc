#include "http/grpc_reflection.h"

#include <doctest/doctest.h>

#include "codec/protobuf.h"

using namespace wary;
using namespace wary::http;

namespace {

GrpcReflection talk_reflection() {
  GrpcFile word, talk;
  word.name = "word.proto";
  word.package = "a.b";
  word.messages = {
      {"Word",
       {{"text", 1, "string"}, {"more", 2, "*Word"}, {"end_notes", 3, "map<string,bytes>"}, {"n", 4, "Word.In", "x"}},
       {{"In", {{"deep", 1, "enum Depth"}}}}}};
  word.enums = {{"Depth", {"NONE", "SOME"}}};
  talk.name = "talk.proto";
  talk.imports = {"word.proto"};
  talk.services = {{"Talk", {{"Say", ".a.b.Word", ".a.b.Word", GrpcMethod::kServerStreams}}}};
  return GrpcReflection({word, talk});
}

std::string question(std::uint32_t kind, std::string_view text) {
  std::string out;
  codec::append_proto_bytes(out, kind, text);
  return out;
}

// The field of that number, by a path of numbers into nested messages; the last of its kind.
std::string at(std::string_view message, std::initializer_list<std::uint32_t> path) {
  std::string_view now = message;
  for (const std::uint32_t number : path) {
    std::string_view found;
    codec::ProtoReader reader(now);
    while (const auto field = reader.next()) {
      if (field->number == number) found = field->bytes;
    }
    REQUIRE(reader.ok());
    now = found;
  }
  return std::string(now);
}

std::vector<std::string> all_of(std::string_view message, std::uint32_t number) {
  std::vector<std::string> out;
  codec::ProtoReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number == number) out.emplace_back(field->bytes);
  }
  return out;
}

}  // namespace

TEST_CASE("reflection lists the services, its own among them") {
  const auto reply = talk_reflection().reply(question(7, "*"));
  REQUIRE(reply);
  std::string names;
  for (const std::string& one : all_of(at(*reply, {6}), 1)) names += at(one, {1}) + " ";
  CHECK(names == "Talk grpc.reflection.v1.ServerReflection grpc.reflection.v1alpha.ServerReflection ");
  CHECK(at(*reply, {2}) == question(7, "*"));
}

TEST_CASE("a file comes with what it imports, by its name and by what it holds") {
  const GrpcReflection reflection = talk_reflection();
  for (const auto& [kind, text] : {std::pair{3U, "talk.proto"}, {4U, "Talk"}, {4U, "Talk.Say"}}) {
    const auto reply = reflection.reply(question(kind, text));
    REQUIRE(reply);
    const auto files = all_of(at(*reply, {4}), 1);
    REQUIRE(files.size() == 2);
    CHECK(at(files[0], {1}) == "talk.proto");
    CHECK(at(files[0], {6, 2, 2}) == ".a.b.Word");
    CHECK(at(files[1], {1}) == "word.proto");
  }
  for (const char* symbol : {"a.b.Word", "a.b.Word.text", "a.b.Word.In", "a.b.Depth"}) {
    const auto files = all_of(at(*reflection.reply(question(4, symbol)), {4}), 1);
    REQUIRE(files.size() == 1);
    CHECK(at(files[0], {1}) == "word.proto");
  }
}

TEST_CASE("a map is an entry of its own, and a nested type stands within its owner") {
  const auto reply = talk_reflection().reply(question(3, "word.proto"));
  const std::string word = at(*reply, {4, 1, 4});
  CHECK(at(word, {1}) == "Word");
  const auto fields = all_of(word, 2);
  REQUIRE(fields.size() == 4);
  CHECK(at(fields[1], {6}) == ".a.b.Word");
  CHECK(at(fields[2], {6}) == ".a.b.Word.EndNotesEntry");
  CHECK(at(fields[2], {10}) == "endNotes");
  CHECK(at(fields[3], {6}) == ".a.b.Word.In");
  CHECK(at(word, {8, 1}) == "x");
  const auto nested = all_of(word, 3);
  REQUIRE(nested.size() == 2);
  CHECK(at(nested[0], {1}) == "In");
  CHECK(at(nested[0], {2, 6}) == ".a.b.Depth");
  CHECK(at(nested[1], {1}) == "EndNotesEntry");
  CHECK(at(nested[1], {7}) == std::string("\x38\1", 2));  // map_entry
}

TEST_CASE("what is not there is an error within the reply, what is no question is refused") {
  const GrpcReflection reflection = talk_reflection();
  for (const auto& [kind, code] : {std::pair{3U, 5}, {4U, 5}, {5U, 12}, {6U, 12}}) {
    const auto reply = reflection.reply(question(kind, "x"));
    REQUIRE(reply);
    CHECK(at(*reply, {7})[1] == code);
  }
  CHECK(!reflection.reply(""));
  CHECK(!reflection.reply("\x08\1"));
  CHECK(!reflection.reply("\x3a\5*"));
  CHECK(!reflection.reply(question(4, std::string(1025, 'x'))));
}
