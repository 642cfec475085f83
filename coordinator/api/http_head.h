// The head of a request, from the request line to the empty line. The parser accepts more than a server
// behind a proxy may accept: bytes that two servers read in two ways could hide a second request. Only the
// HTTP core includes this header.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include <boost/beast/http/message.hpp>

#include "absl/strings/string_view.h"

namespace deeprack::coordinator {

// The number of bytes of empty lines before a request. Clients may send such lines after a body.
size_t EmptyLineBytes(absl::string_view bytes);

// False: no request begins with these bytes, which are not empty ("\x16" is the first byte of TLS).
bool MayBeginRequest(absl::string_view bytes);

// The size of the head at the beginning of `bytes`. Nullopt: its end has not come yet.
std::optional<size_t> HeadSize(absl::string_view bytes);

// What is wrong with a head that the parser has accepted: a line that continues the line before it, no Host
// in HTTP/1.1 or two, a length that is not one number, a transfer coding other than "chunked" alone, or a
// target that is neither a path nor a URL. `raw` is the head's bytes. Nullopt: nothing.
std::optional<std::string> FaultOfHead(absl::string_view raw,
                                       const boost::beast::http::request_header<>& head);

// The path of a request's target, without the query: "/a" for "/a?b" and for "http://host/a". Empty for a
// target that is neither a path nor a URL.
std::string PathOfTarget(absl::string_view target);

}  // namespace deeprack::coordinator
