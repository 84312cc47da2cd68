#include "lib/backend/open_reader.h"

#include <stdexcept>

#include "lib/backend/http_reader.h"
#include "lib/backend/stores.h"

namespace memsync {

std::unique_ptr<Reader> open_reader(const std::string& name, uint64_t size_bytes, uint64_t seed) {
  if (name == "memory") return std::make_unique<MemoryBackend>(size_bytes);
  if (name == "zero") return std::make_unique<PatternReader>(ContentKind::zero, seed, size_bytes);
  if (name == "pattern")
    return std::make_unique<PatternReader>(ContentKind::random, seed, size_bytes);
  if (name.starts_with("file:"))
    return std::make_unique<FileBackend>(name.substr(5), FileBackend::Mode::read_only);
  if (name.starts_with("http://") || name.starts_with("https://"))
    return std::make_unique<HttpReader>(name);
  throw std::invalid_argument("there is no backend '" + name +
                              "'; there are memory, zero, pattern, file:PATH and http(s)://…");
}

}  // namespace memsync
