// What the load test must know of a server before the test measures: fields, model, tokens of a text.
#pragma once

#include "absl/status/statusor.h"
#include "cli/http/http_client.h"
#include "cli/load/request_body.h"

namespace deeprack::cli {

// Asks the server with short requests. `model` "": the first one of /v1/models. A field that the server
// refuses is left out. Errors: those of the last request, when the server also refuses a request without all
// such fields.
absl::StatusOr<BodyMaker> AskServer(const Url& url, LoadApi api, const std::string& model,
                                    const Cancelled& cancelled);

}  // namespace deeprack::cli
