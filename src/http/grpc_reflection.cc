#include "http/grpc_reflection.h"

#include <algorithm>
#include <set>

#include "codec/protobuf.h"

namespace wary::http {

namespace {

using codec::append_proto_bytes;
using codec::append_proto_varint;

constexpr std::size_t kReflectionNameMax = 1024;
constexpr std::uint64_t kNotFound = 5, kUnserved = 12;  // gRPC's codes, within a reply

// descriptor.proto: FieldDescriptorProto.Type and .Label.
constexpr std::uint64_t kOptional = 1, kRepeated = 3, kMessageType = 11, kEnumType = 14;
std::uint64_t scalar_of(std::string_view type) {
  static const std::map<std::string_view, std::uint64_t> kScalars = {{"double", 1}, {"float", 2},  {"int64", 3},
                                                                     {"uint64", 4}, {"int32", 5},  {"bool", 8},
                                                                     {"string", 9}, {"bytes", 12}, {"uint32", 13}};
  const auto found = kScalars.find(type);
  return found == kScalars.end() ? 0 : found->second;
}

std::string joined(std::string_view scope, std::string_view name) {
  return scope.empty() ? std::string(name) : std::string(scope) + "." + std::string(name);
}

std::string full_type(std::string_view package, std::string_view type) {
  return type.starts_with('.') ? std::string(type) : "." + joined(package, type);
}

// federated_bundles: federatedBundles in JSON; FederatedBundlesEntry as a map's type.
std::string camel(std::string_view field, bool upper) {
  std::string out;
  for (const char c : field) {
    if (c == '_') {
      upper = true;
      continue;
    }
    out += upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    upper = false;
  }
  return out;
}
std::string entry_name(std::string_view field) { return camel(field, true) + "Entry"; }

bool is_map(std::string_view type) { return type.starts_with("map<string,") && type.ends_with('>'); }
std::string_view map_value(std::string_view type) { return type.substr(11, type.size() - 12); }

// FieldDescriptorProto: name 1, number 3, label 4, type 5, type_name 6, oneof_index 9, json_name 10.
std::string field_bytes(std::string_view package, std::string_view owner, const GrpcField& field,
                        const std::vector<std::string>& oneofs) {
  std::string_view type = field.type;
  std::string of_map;
  if (is_map(type)) {
    of_map = "*." + joined(package, owner) + "." + entry_name(field.name);
    type = of_map;
  }
  const bool repeats = type.starts_with('*');
  if (repeats) type.remove_prefix(1);
  const bool is_enum = type.starts_with("enum ");
  if (is_enum) type.remove_prefix(5);
  const std::uint64_t scalar = scalar_of(type);
  std::string out;
  append_proto_bytes(out, 1, field.name);
  append_proto_varint(out, 3, field.number);
  append_proto_varint(out, 4, repeats ? kRepeated : kOptional);
  append_proto_varint(out, 5, scalar != 0 ? scalar : is_enum ? kEnumType : kMessageType);
  if (scalar == 0) append_proto_bytes(out, 6, full_type(package, type));
  const auto oneof = std::find(oneofs.begin(), oneofs.end(), field.oneof);
  if (!field.oneof.empty()) append_proto_varint(out, 9, static_cast<std::uint64_t>(oneof - oneofs.begin()));
  append_proto_bytes(out, 10, camel(field.name, false));
  return out;
}

// DescriptorProto: name 1, field 2, nested_type 3, options 7{map_entry 7}, oneof_decl 8{name 1}.
std::string type_bytes(std::string_view package, std::string_view scope, const GrpcType& type) {
  std::vector<std::string> oneofs;
  for (const GrpcField& field : type.fields) {
    const bool is_new = !field.oneof.empty() && std::find(oneofs.begin(), oneofs.end(), field.oneof) == oneofs.end();
    if (is_new) oneofs.push_back(field.oneof);
  }
  const std::string name = joined(scope, type.name);
  std::string out;
  append_proto_bytes(out, 1, type.name);
  for (const GrpcField& field : type.fields) append_proto_bytes(out, 2, field_bytes(package, name, field, oneofs));
  for (const GrpcType& nested : type.nested) append_proto_bytes(out, 3, type_bytes(package, name, nested));
  for (const GrpcField& field : type.fields) {
    if (!is_map(field.type)) continue;
    const GrpcType entry{entry_name(field.name),
                         {{"key", 1, "string"}, {"value", 2, std::string(map_value(field.type))}}};
    std::string bytes = type_bytes(package, name, entry), options;
    append_proto_varint(options, 7, 1);
    append_proto_bytes(bytes, 7, options);
    append_proto_bytes(out, 3, bytes);
  }
  for (const std::string& oneof : oneofs) {
    std::string one;
    append_proto_bytes(one, 1, oneof);
    append_proto_bytes(out, 8, one);
  }
  return out;
}

// EnumDescriptorProto: name 1, value 2{name 1, number 2}.
std::string enum_bytes(const GrpcEnum& type) {
  std::string out;
  append_proto_bytes(out, 1, type.name);
  for (std::size_t i = 0; i < type.values.size(); ++i) {
    std::string value;
    append_proto_bytes(value, 1, type.values[i]);
    append_proto_varint(value, 2, i);
    append_proto_bytes(out, 2, value);
  }
  return out;
}

// ServiceDescriptorProto: name 1, method 2{name 1, input_type 2, output_type 3, client_streaming 5, server_streaming
// 6}.
std::string service_bytes(std::string_view package, const GrpcService& service) {
  std::string out;
  append_proto_bytes(out, 1, service.name);
  for (const GrpcMethod& method : service.methods) {
    std::string one;
    append_proto_bytes(one, 1, method.name);
    append_proto_bytes(one, 2, full_type(package, method.request));
    append_proto_bytes(one, 3, full_type(package, method.response));
    if (method.streams == GrpcMethod::kBothStream) append_proto_varint(one, 5, 1);
    if (method.streams != GrpcMethod::kNeither) append_proto_varint(one, 6, 1);
    append_proto_bytes(out, 2, one);
  }
  return out;
}

// What this protocol says of itself.
GrpcFile reflection_file(const std::string& version) {
  GrpcFile out;
  out.name = "grpc/reflection/" + version + "/reflection.proto";
  out.package = "grpc.reflection." + version;
  out.messages = {{"ServerReflectionRequest",
                   {{"host", 1, "string"},
                    {"file_by_filename", 3, "string", "message_request"},
                    {"file_containing_symbol", 4, "string", "message_request"},
                    {"file_containing_extension", 5, "ExtensionRequest", "message_request"},
                    {"all_extension_numbers_of_type", 6, "string", "message_request"},
                    {"list_services", 7, "string", "message_request"}}},
                  {"ExtensionRequest", {{"containing_type", 1, "string"}, {"extension_number", 2, "int32"}}},
                  {"ServerReflectionResponse",
                   {{"valid_host", 1, "string"},
                    {"original_request", 2, "ServerReflectionRequest"},
                    {"file_descriptor_response", 4, "FileDescriptorResponse", "message_response"},
                    {"all_extension_numbers_response", 5, "ExtensionNumberResponse", "message_response"},
                    {"list_services_response", 6, "ListServiceResponse", "message_response"},
                    {"error_response", 7, "ErrorResponse", "message_response"}}},
                  {"FileDescriptorResponse", {{"file_descriptor_proto", 1, "*bytes"}}},
                  {"ExtensionNumberResponse", {{"base_type_name", 1, "string"}, {"extension_number", 2, "*int32"}}},
                  {"ListServiceResponse", {{"service", 1, "*ServiceResponse"}}},
                  {"ServiceResponse", {{"name", 1, "string"}}},
                  {"ErrorResponse", {{"error_code", 1, "int32"}, {"error_message", 2, "string"}}}};
  out.services = {
      {"ServerReflection",
       {{"ServerReflectionInfo", "ServerReflectionRequest", "ServerReflectionResponse", GrpcMethod::kBothStream}}}};
  return out;
}

std::string error_bytes(std::uint64_t code, std::string_view message) {
  std::string out;
  append_proto_varint(out, 1, code);
  append_proto_bytes(out, 2, message);
  return out;
}

}  // namespace

// FileDescriptorProto: name 1, package 2, dependency 3, message_type 4, enum_type 5, service 6, syntax 12.
std::string encode_grpc_file(const GrpcFile& file) {
  std::string out;
  append_proto_bytes(out, 1, file.name);
  if (!file.package.empty()) append_proto_bytes(out, 2, file.package);
  for (const std::string& import : file.imports) append_proto_bytes(out, 3, import);
  for (const GrpcType& type : file.messages) append_proto_bytes(out, 4, type_bytes(file.package, {}, type));
  for (const GrpcEnum& type : file.enums) append_proto_bytes(out, 5, enum_bytes(type));
  for (const GrpcService& service : file.services) append_proto_bytes(out, 6, service_bytes(file.package, service));
  append_proto_bytes(out, 12, "proto3");
  return out;
}

GrpcReflection::GrpcReflection(const std::vector<GrpcFile>& files) {
  for (const GrpcFile& file : files) add(file);
  for (const char* version : {"v1", "v1alpha"}) add(reflection_file(version));
  std::sort(services_.begin(), services_.end());
}

void GrpcReflection::add(const GrpcFile& file) {
  files_[file.name] = {encode_grpc_file(file), file.imports};
  add_symbols(file.name, file.package, file.messages);
  for (const GrpcEnum& type : file.enums) symbols_[joined(file.package, type.name)] = file.name;
  for (const GrpcService& service : file.services) {
    const std::string name = joined(file.package, service.name);
    services_.push_back(name);
    symbols_[name] = file.name;
    for (const GrpcMethod& method : service.methods) symbols_[joined(name, method.name)] = file.name;
  }
}

void GrpcReflection::add_symbols(const std::string& file, const std::string& prefix,
                                 const std::vector<GrpcType>& types) {
  for (const GrpcType& type : types) {
    const std::string name = joined(prefix, type.name);
    symbols_[name] = file;
    for (const GrpcField& field : type.fields) symbols_[joined(name, field.name)] = file;
    add_symbols(file, name, type.nested);
  }
}

std::string GrpcReflection::files_of(const std::string& name) const {
  std::string out;
  std::vector<std::string> next = {name};
  std::set<std::string> seen;
  while (!next.empty()) {
    const std::string one = next.back();
    next.pop_back();
    const auto found = files_.find(one);
    if (found == files_.end() || !seen.insert(one).second) continue;
    append_proto_bytes(out, 1, found->second.bytes);
    next.insert(next.end(), found->second.imports.begin(), found->second.imports.end());
  }
  return out;
}

Result<std::string> GrpcReflection::reply(std::string_view message) const {
  const auto refused = [](std::string_view why) { return fail(ErrorKind::kInvalid, "reflection_message", why); };
  std::string host, question;
  std::uint32_t kind = 0;  // the last of the oneof counts
  codec::ProtoReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number != 1 && (field->number < 3 || field->number > 7)) continue;
    if (field->type != codec::ProtoField::kBytes) return refused("a field is of another type");
    if (field->bytes.size() > kReflectionNameMax) return refused("a name is too long");
    if (field->number != 1) kind = field->number;
    (field->number == 1 ? host : question) = field->bytes;
  }
  if (!reader.ok()) return refused("the message is cut off or malformed");
  if (kind == 0) return refused("nothing is asked");
  std::string out;
  if (!host.empty()) append_proto_bytes(out, 1, host);
  append_proto_bytes(out, 2, message);
  if (kind == 7) {
    std::string list;
    for (const std::string& service : services_) {
      std::string one;
      append_proto_bytes(one, 1, service);
      append_proto_bytes(list, 1, one);
    }
    append_proto_bytes(out, 6, list);
    return out;
  }
  if (kind == 5 || kind == 6) {
    append_proto_bytes(out, 7, error_bytes(kUnserved, "there are no extensions here"));
    return out;
  }
  const auto symbol = symbols_.find(question);
  const std::string files = kind == 3 ? files_of(question) : symbol == symbols_.end() ? "" : files_of(symbol->second);
  if (files.empty()) {
    append_proto_bytes(out, 7, error_bytes(kNotFound, "there is none of that name"));
  } else {
    append_proto_bytes(out, 4, files);
  }
  return out;
}

}  // namespace wary::http
