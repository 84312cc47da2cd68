// Readers by name, as suites and commands name them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "lib/backend/backend.h"

namespace memsync {

// "memory", "zero", "pattern", "file:PATH", "http://…" or "https://…". Memory starts as zeros; a
// pattern is random content of `seed`; a file and an object on the web have a size of their own.
// Throws std::invalid_argument for any other name, std::system_error when it can't be opened.
std::unique_ptr<Reader> open_reader(const std::string& name, uint64_t size_bytes, uint64_t seed);

}  // namespace memsync
