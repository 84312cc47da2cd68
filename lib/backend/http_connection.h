// One kept-alive connection to a web server, for range requests one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <curl/curl.h>
#include <memory>
#include <span>
#include <string>

#include "lib/os/clock.h"

namespace memsync {

struct HttpOptions {
  Nanoseconds connect_limit = std::chrono::seconds(3);
  Nanoseconds limit = std::chrono::seconds(10);  // of one read, tries again included
  std::string ca_file{};  // PEM of the authorities to trust; empty: the system's
};

// A URL without what must not stand in messages: credentials, query (signatures), fragment. Throws
// std::invalid_argument when `url` is none or neither http nor https.
std::string shown_url(const std::string& url);

// What came of one request. The texts are header values of the last answer, redirects followed;
// printable, and empty where there was none.
struct HttpAnswer {
  int error = 0;  // errno of a failed transfer; 0: judge by the status
  std::string reason{};
  long status = 0;
  std::string content_range{}, content_encoding{}, etag{}, last_modified{}, retry_after{};
  uint64_t received = 0;   // bytes of a 206's body, put where the caller wanted them
  bool is_longer = false;  // there were more of them than asked for; the rest was not taken
};

// Threads: one at a time.
class HttpConnection {
 public:
  // Connects at the first request. Throws std::system_error.
  HttpConnection(const std::string& url, const HttpOptions& options);

  // Asks for the bytes at [offset, offset + into.size()), which are not empty.
  //   condition   a header line such as `If-Match: "v1"`, or ""
  HttpAnswer get(std::span<std::byte> into, uint64_t offset, const std::string& condition,
                 Deadline deadline);

 private:
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle_;
  const Nanoseconds connect_limit_;
};

}  // namespace memsync
