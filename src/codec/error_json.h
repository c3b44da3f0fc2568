// An Error as the JSON that our APIs and processes tell it in.
//
//   body.set("error", codec::to_json(error));   // {"code":"...","kind":"...","message":"...",...}
//
// kind, code and message; where, expected, found and next where the error has them. Pure; any thread.
#pragma once

#include "base/result.h"
#include "codec/json.h"

namespace wary::codec {

Json to_json(const Error& error);

}  // namespace wary::codec
