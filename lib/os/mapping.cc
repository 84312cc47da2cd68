#include "lib/os/mapping.h"

#include <string>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync {

uint64_t page_bytes() noexcept {
  static const auto kBytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return kBytes;
}

namespace {

std::byte* map(uint64_t size, int protection, int flags, int fd, const char* what) {
  void* address = ::mmap(nullptr, round_up_to_page(size), protection, flags, fd, 0);
  if (address == MAP_FAILED) throw_errno("mapping " + std::to_string(size) + " bytes of " + what);
  return static_cast<std::byte*>(address);
}

}  // namespace

Mapping Mapping::anonymous(uint64_t size_bytes, Population population) {
  const int populate = population == Population::at_once ? MAP_POPULATE : 0;
  return {map(size_bytes, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | populate, -1, "anonymous memory"),
          size_bytes};
}

Mapping Mapping::shared(const FileDescriptor& file, uint64_t size_bytes, int protection) {
  return {map(size_bytes, protection, MAP_SHARED, file.get(), "a file"), size_bytes};
}

Mapping::~Mapping() {
  if (address_ != nullptr) ::munmap(address_, round_up_to_page(size_));
}

}  // namespace memsync
