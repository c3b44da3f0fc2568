// GrpcReflection: what a gRPC server tells of itself (grpc.reflection.v1 and v1alpha, the same bytes): its services,
// and the files that describe them, made from a table. Pure.
//
//   const GrpcReflection reflection({{.name = "talk.proto", .package = "a.b",
//       .messages = {{"Word", {{"text", 1, "string"}, {"more", 2, "*Word"}, {"notes", 3, "map<string,bytes>"}}}},
//       .services = {{"Talk", {{"Say", "Word", "Word", GrpcMethod::kServerStreams}}}}}});
//   WARY_ASSIGN_OR_RETURN(const std::string reply, reflection.reply(message));   // of ServerReflectionInfo
//
// Its own services are told of as well. A question that it has no answer to is answered by an error in the reply, as
// the protocol has it; a message that is no question is refused. Any thread. Limits: 1 KiB of a name. Error:
// reflection_message.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wary::http {

// A type is one of proto3's words, the name of a message or, behind `enum `, of an enum: of this package, or with a dot
// before a full name. `*` before it: repeated; map<string,TYPE>.
struct GrpcField {
  std::string name;
  std::uint32_t number = 0;
  std::string type;
  std::string oneof = {};
};
struct GrpcType {
  std::string name;
  std::vector<GrpcField> fields;
  std::vector<GrpcType> nested = {};
};
struct GrpcEnum {
  std::string name;
  std::vector<std::string> values;  // numbered from 0
};
struct GrpcMethod {
  enum Streams : std::uint8_t { kNeither, kServerStreams, kBothStream };
  std::string name, request, response;
  Streams streams = kNeither;
};
struct GrpcService {
  std::string name;
  std::vector<GrpcMethod> methods;
};
struct GrpcFile {
  std::string name;
  std::string package = {};
  std::vector<std::string> imports = {};
  std::vector<GrpcType> messages = {};
  std::vector<GrpcEnum> enums = {};
  std::vector<GrpcService> services = {};
};

// FileDescriptorProto.
std::string encode_grpc_file(const GrpcFile& file);

class GrpcReflection {
 public:
  explicit GrpcReflection(const std::vector<GrpcFile>& files);
  Result<std::string> reply(std::string_view message) const;

 private:
  struct File {
    std::string bytes;
    std::vector<std::string> imports;
  };
  void add(const GrpcFile& file);
  void add_symbols(const std::string& file, const std::string& prefix, const std::vector<GrpcType>& types);
  // The file and what it imports, each once; empty when there is none of that name.
  std::string files_of(const std::string& name) const;
  std::map<std::string, File> files_;
  std::map<std::string, std::string> symbols_;  // full name to file
  std::vector<std::string> services_;           // full names, ascending
};

}  // namespace wary::http
