#include "harness/received_versions.h"

#include <cstdio>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "lib/region/quantity.h"

namespace memsync {

namespace {

// Names may be any bytes. One call, so that lines of several threads stay whole.
void print_line(const nlohmann::json& line) {
  fmt::print("{}\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  std::fflush(stdout);
}

}  // namespace

void tell_receive(const std::string& sentence) {
  std::fputs(("memsync receive: " + sentence + "\n").c_str(), stderr);
}

void print_address(const std::string& address, bool json) {
  if (json) return print_line({{"address", address}});
  fmt::print("{}\n", address);
  std::fflush(stdout);
}

void print_version(const std::string& name, uint64_t version, uint64_t size_bytes,
                   uint64_t payload_bytes, bool json) {
  if (json) {
    nlohmann::json line = {{"name", name}, {"size_B", size_bytes}, {"payload_B", payload_bytes}};
    if (version > 0) line["version"] = version;
    return print_line(line);
  }
  fmt::print("{}: {}, {} came\n", name, format_bytes(static_cast<double>(size_bytes)),
             format_bytes(static_cast<double>(payload_bytes)));
  std::fflush(stdout);
}

FileDescriptor take_folder(const std::string& path) {
  try {
    return mmap_push::own_folder(path);
  } catch (const std::system_error& problem) {
    if (problem.code() == std::errc::device_or_resource_busy)
      throw std::invalid_argument("another `memsync receive` or `memsync hub` is using " + path +
                                  "; it takes several pushers, or choose another folder");
    throw std::invalid_argument(std::string(problem.what()) +
                                "; name a folder that is there: mkdir -p " + path);
  }
}

void ReceivedVersions::report(const mmap_push::ReceivedFile& file, uint64_t payload_bytes) {
  if (file.versions == versions_[file.name]) return;
  versions_[file.name] = file.versions;
  const uint64_t came = payload_bytes - payload_before_;
  payload_before_ = payload_bytes;
  print_version(file.name, 0, file.file.size_bytes(), came, json_);
}

}  // namespace memsync
