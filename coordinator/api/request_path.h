// The path of a request, and patterns of paths.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace deeprack::coordinator {

// Divides a request's path at its slashes. Empty segments vanish, so that "/a//b/" is {"a", "b"}. Percent
// escapes are decoded after the division, so that %2F is part of a segment. Nullopt: an escape is not two
// hexadecimal digits, or a segment holds a control character or invalid UTF-8.
std::optional<std::vector<std::string>> PathSegments(absl::string_view path);

// Compares segments with a pattern ("/v1/responses/{id}"). {id} stands for one segment. {id*} at the end
// stands for one or more, which slashes join in the returned id. A pattern that begins with "/v1" also
// matches without these three characters. Returns what {id} stands for, or "" for a pattern without {id}.
// Nullopt: the path is another one.
std::optional<std::string> MatchPath(absl::string_view pattern, const std::vector<std::string>& segments);

// The value of the first parameter `name` of a query ("limit=2&after=a"), with its escapes decoded. Nullopt:
// the query has no such parameter, or its escapes are malformed.
std::optional<std::string> QueryValue(absl::string_view query, absl::string_view name);

}  // namespace deeprack::coordinator
