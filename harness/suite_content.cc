#include "harness/suite_content.h"

#include <algorithm>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <sys/stat.h>
#include <system_error>

#include "lib/os/file_descriptor.h"

namespace memsync {

namespace {

constexpr uint64_t kTraceBytesMax = 64 << 20;  // some five million accesses

[[noreturn]] void refuse(const std::string& sentence) {
  throw std::invalid_argument(sentence);
}

// One line of a trace; `text` is without its line's end.
uint64_t parse_offset(std::string_view text, const std::string& place, uint64_t region_bytes) {
  if (text.ends_with('\r')) text.remove_suffix(1);
  uint64_t offset = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), offset);
  if (error == std::errc::invalid_argument || end != text.data() + text.size())
    refuse(place + ": '" + std::string(text.substr(0, 40)) +
           "' is no byte offset: a decimal number from 0 on");
  if (error != std::errc{} || offset >= region_bytes)
    refuse(place + ": byte " + std::string(text) + " is past the end of the region of " +
           std::to_string(region_bytes) + " B");
  return offset;
}

}  // namespace

std::string path_beside(const std::string& suite_path, const std::string& path) {
  // operator/ takes an absolute right side as it is; a working directory that is gone leaves the
  // path relative, and opening it will say so.
  const auto beside = (std::filesystem::path(suite_path).parent_path() / path).lexically_normal();
  std::error_code ignored;
  const auto absolute = std::filesystem::absolute(beside, ignored);
  return (ignored ? beside : absolute).string();
}

uint64_t content_file_bytes(const std::string& path) {
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0)
    refuse(path + ": " + std::generic_category().message(errno));
  if (!S_ISREG(about.st_mode)) refuse(path + " is no regular file");
  // O_NONBLOCK: should it have become a pipe meanwhile, opening must not wait.
  try {
    FileDescriptor::open(path, O_RDONLY | O_NONBLOCK);
  } catch (const std::system_error& problem) {
    refuse(problem.what());
  }
  if (about.st_size == 0) refuse(path + " is empty");
  return static_cast<uint64_t>(about.st_size);
}

std::vector<uint64_t> read_trace(const std::string& path, uint64_t region_bytes) {
  const uint64_t size = content_file_bytes(path);
  if (size > kTraceBytesMax)
    refuse(path + " is larger than " + std::to_string(kTraceBytesMax) + " B");
  std::ifstream file(path, std::ios::binary);
  std::vector<uint64_t> offsets;
  std::string line;
  while (std::getline(file, line))
    offsets.push_back(
        parse_offset(line, path + ":" + std::to_string(offsets.size() + 1), region_bytes));
  if (file.bad()) refuse(path + ": reading it failed");
  if (offsets.empty()) refuse(path + " holds no access");
  return offsets;
}

void use_content_file(Suite& suite, const std::string& path) {
  const std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
  try {
    const uint64_t size = content_file_bytes(absolute);
    const auto clip = [size](uint64_t& bytes) { bytes = std::min(bytes, size); };
    for (Workload& workload : suite.workloads) {
      workload.content = {ContentSpec::Kind::file, absolute, "file:" + absolute};
      workload.region_bytes = size;
      clip(workload.touch_bytes);
      AccessSpec& access = workload.access;
      if (access.order == AccessOrder::trace) access.trace = read_trace(access.trace_path, size);
      if (!workload.writer) continue;
      WriterSpec& writer = *workload.writer;
      writer.span_bytes = writer.is_whole_region ? size : std::min(writer.span_bytes, size);
      if (writer.access.order == AccessOrder::trace)
        writer.access.trace = read_trace(writer.access.trace_path, writer.span_bytes);
      workload.touch_bytes = std::min(workload.touch_bytes, writer.span_bytes);
    }
  } catch (const std::invalid_argument& problem) {
    throw SuiteError(std::string("content: ") + problem.what());
  }
}

}  // namespace memsync
