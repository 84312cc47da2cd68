#include "approaches/userfaultfd/prefetch/trace_file.h"

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/os/file_descriptor.h"
#include "lib/region/digest.h"

namespace memsync::userfaultfd {

namespace {

static_assert(std::endian::native == std::endian::little, "the file is copied as it stands");

struct Header {
  uint64_t magic = kMagic;
  uint64_t version = kVersion;
  uint64_t region_bytes = 0;
  uint64_t unit_bytes = 0;
  uint64_t count = 0;
  uint64_t hash = 0;

  static constexpr uint64_t kMagic = 0x0a45434152544d4dULL;  // "MMTRACE\n"
  static constexpr uint64_t kVersion = 1;
};

[[noreturn]] void refuse(const std::string& sentence) {
  throw std::invalid_argument(sentence);
}

void check_header(const Header& header, const TraceShape& shape, size_t bytes_behind) {
  if (header.magic != Header::kMagic) refuse("it is no trace of first touches");
  if (header.version != Header::kVersion)
    refuse("it is of version " + std::to_string(header.version) + ", and this reads " +
           std::to_string(Header::kVersion));
  if (header.region_bytes != shape.region_bytes)
    refuse("it is of a region of " + std::to_string(header.region_bytes) + " bytes, and this has " +
           std::to_string(shape.region_bytes));
  if (header.unit_bytes != shape.unit_bytes)
    refuse("it is of units of " + std::to_string(header.unit_bytes) + " bytes, and these have " +
           std::to_string(shape.unit_bytes));
  if (header.count == 0 || header.count > shape.unit_count())
    refuse("it names " + std::to_string(header.count) + " units of " +
           std::to_string(shape.unit_count()));
  if (bytes_behind != header.count * sizeof(UnitIndex)) refuse("it is not as long as it says");
}

}  // namespace

std::vector<std::byte> encode_trace(const TraceShape& shape, std::span<const UnitIndex> touches) {
  const auto body = std::as_bytes(touches);
  const Header header{.region_bytes = shape.region_bytes,
                      .unit_bytes = shape.unit_bytes,
                      .count = touches.size(),
                      .hash = hash64(body)};
  std::vector<std::byte> bytes(sizeof header + body.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  if (!body.empty()) std::memcpy(bytes.data() + sizeof header, body.data(), body.size());
  return bytes;
}

std::vector<UnitIndex> decode_trace(std::span<const std::byte> bytes, const TraceShape& shape) {
  Header header;
  if (bytes.size() < sizeof header) refuse("it is too short for a trace");
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto body = bytes.subspan(sizeof header);
  check_header(header, shape, body.size());
  if (hash64(body) != header.hash) refuse("its bytes have changed since it was written");
  std::vector<UnitIndex> touches(header.count);
  std::memcpy(touches.data(), body.data(), body.size());
  std::vector<bool> is_named(shape.unit_count(), false);
  for (const UnitIndex unit : touches) {
    if (unit >= shape.unit_count()) refuse("it names a unit beyond the region");
    if (is_named[unit]) refuse("it names unit " + std::to_string(unit) + " twice");
    is_named[unit] = true;
  }
  return touches;
}

std::optional<std::vector<UnitIndex>> read_trace(const std::string& path, const TraceShape& shape) {
  const std::string attempt = "reading the trace " + path;
  // Not FileDescriptor::open(): a missing file is no failure, and a pipe must not block.
  const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!file.is_open()) {
    if (errno == ENOENT) return std::nullopt;
    throw_errno(attempt);
  }
  struct stat about{};
  check(::fstat(file.get(), &about), attempt);
  const auto longest = sizeof(Header) + shape.unit_count() * sizeof(UnitIndex);
  if (!S_ISREG(about.st_mode) || static_cast<uint64_t>(about.st_size) > longest)
    refuse("the trace " + path + ": it is no regular file of at most " + std::to_string(longest) +
           " bytes, which a trace of this region is");
  std::vector<std::byte> bytes(static_cast<size_t>(about.st_size));
  read_all(file.get(), bytes.data(), bytes.size(), attempt);
  try {
    return decode_trace(bytes, shape);
  } catch (const std::invalid_argument& problem) {
    refuse("the trace " + path + ": " + problem.what() + "; remove it to record another");
  }
}

void write_trace(const std::string& path, const TraceShape& shape,
                 std::span<const UnitIndex> touches) {
  const auto bytes = encode_trace(shape, touches);
  const std::string attempt = "writing the trace " + path;
  const std::string draft = path + "." + std::to_string(::getpid()) + ".new";
  try {
    const auto out = FileDescriptor::open(draft, O_WRONLY | O_CREAT | O_TRUNC);
    write_all(out.get(), bytes.data(), bytes.size(), attempt);
    check(::rename(draft.c_str(), path.c_str()), attempt);
  } catch (const std::system_error&) {
    ::unlink(draft.c_str());
    throw;
  }
}

}  // namespace memsync::userfaultfd
