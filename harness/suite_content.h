// The files that a suite refers to: contents and traces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/suite.h"

namespace memsync {

// `path` as written in the suite `suite_path`: relative to that file's folder. Absolute.
std::string path_beside(const std::string& suite_path, const std::string& path);

// Size of a regular file with at least one byte that this process may read. Throws
// std::invalid_argument with a sentence that names the file.
uint64_t content_file_bytes(const std::string& path);

// A trace's byte offsets, one decimal number per line, all below `region_bytes`. Throws
// std::invalid_argument naming file and line.
std::vector<uint64_t> read_trace(const std::string& path, uint64_t region_bytes);

}  // namespace memsync
