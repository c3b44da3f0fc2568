// Api: how a command asks the control plane: JSON over the admin socket of the data directory.
//
//   WARY_ASSIGN_OR_RETURN(codec::Json answer, call_api(context, "POST", "/v1/sessions", body));
//
// An error answer becomes the Error it carried. Errors of our own: not_running, api_answer.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cli/command.h"

namespace wary::cli {

Result<codec::Json> call_api(Context& context, const std::string& method, const std::string& path,
                             const std::optional<codec::Json>& body = std::nullopt, const std::string& query = "");
// The same at the socket of whoever started the processes; it answers in its own time.
Result<codec::Json> call_supervisor(Context& context, const std::string& method, const std::string& path,
                                    const codec::Json& body, std::int64_t timeout_nanos);
// A stream of JSON lines; `on_line` answers whether to go on.
Status stream_api(Context& context, const std::string& path, const std::string& query,
                  const std::function<bool(const codec::Json&)>& on_line);
// A member's text, "" where there is none.
std::string text_of(const codec::Json& json, std::string_view name);
// For columns: filled up with spaces.
std::string padded(std::string text, std::size_t width);
Error error_from_json(const codec::Json& error, ErrorKind fallback);

}  // namespace wary::cli
