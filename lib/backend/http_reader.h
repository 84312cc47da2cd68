// An object on a web server as a reader: only the bytes that are asked for, by HTTP range requests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/backend/http_connection.h"
#include "lib/os/mutex.h"

namespace memsync {

// Every read is one range request on a connection that is kept alive; concurrent reads have one
// each. Bytes go straight into the caller's memory, never more than asked for.
//
// The object's version (ETag, else Last-Modified) is that of the opening: each request says so
// (If-Match, If-Unmodified-Since), each answer is compared; another version or size is ESTALE.
// 429, 502, 503, 504 and lost connections are tried again, ever later, until the read's limit.
// Threads: any.
class HttpReader : public Reader {
 public:
  // Asks for the first byte, which tells size and version. Throws std::system_error naming the
  // URL without credentials and query, and std::invalid_argument when it is no URL.
  explicit HttpReader(std::string url, HttpOptions options = {});
  ~HttpReader() override;
  HttpReader(const HttpReader&) = delete;
  HttpReader& operator=(const HttpReader&) = delete;

  // Throws std::system_error: ESTALE when the object was changed, ETIMEDOUT, ECONNRESET, EBUSY,
  // EACCES, ENOENT as the server says, EIO when its answer is not what was asked for.
  void read_at(std::span<std::byte> into, uint64_t offset) override;
  uint64_t size_bytes() const override { return size_; }

 private:
  void open();
  HttpAnswer ask(std::span<std::byte> into, uint64_t offset);

  const std::string url_;
  const std::string shown_;
  const HttpOptions options_;
  uint64_t size_ = 0;
  std::string version_;    // as the server names it; empty: it doesn't
  std::string condition_;  // the header line that asks for that version

  Mutex mutex_;
  std::vector<std::unique_ptr<HttpConnection>> idle_ GUARDED_BY(mutex_);
};

}  // namespace memsync
