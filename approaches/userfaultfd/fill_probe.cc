// What other memory than anonymous pages would gain: how fast a fresh region is touched in order
// when each fault's unit is filled by UFFDIO_COPY, or through a second mapping and UFFDIO_CONTINUE.
//
// Faults are answered in the touching thread (SIGBUS) from bytes at hand, so that nothing but the
// filling differs. One round runs every variant once. Run it with
//   userfaultfd_fill_probe [bytes, default 256 MiB] [rounds, default 9]
// Huge pages have to be reserved before (/proc/sys/vm/nr_hugepages); without, they are left out.
// Source: Linux Documentation/admin-guide/mm/userfaultfd.rst, "Resolving Userfaults".
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <optional>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include "lib/os/access_faults.h"
#include "lib/os/clock.h"
#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/os/userfault_kernel.h"
#include "lib/region/content.h"

namespace memsync {
namespace {

constexpr uint64_t kHugePage = 2 << 20;

enum class Memory : uint8_t { anonymous, memfd, huge };
enum class Fill : uint8_t {
  copy,
  resume,          // UFFDIO_CONTINUE of pages that the filling allocates
  resume_existing  // of pages that were allocated before the clock started
};

struct Variant {
  const char* label;
  Memory memory;
  Fill fill;
  uint64_t unit_bytes;
  std::vector<double> bytes_per_second;
};

// A region of one kind whose faults are filled from `source`.
class Region : private FaultRepair {
 public:
  Region(const Variant& variant, std::span<const std::byte> source)
      : variant_(variant), source_(source) {
    if (variant.memory != Memory::anonymous) {
      const unsigned huge = variant.memory == Memory::huge ? MFD_HUGETLB : 0;
      file_ = FileDescriptor{check(::memfd_create("probe", MFD_CLOEXEC | huge), "memfd_create")};
      check(::ftruncate(file_.get(), static_cast<off_t>(source.size())), "ftruncate");
      region_ = Mapping::shared(file_, source.size());
      alias_ = Mapping::shared(file_, source.size());
      if (variant.fill == Fill::resume_existing)
        check(::madvise(alias_.bytes().data(), source.size(), MADV_POPULATE_WRITE), "populating");
    } else {
      region_ = Mapping::anonymous(source.size());
    }
    watch();
    repaired_.emplace(region_.bytes(), static_cast<FaultRepair&>(*this));
  }

  std::span<std::byte> bytes() const { return region_.bytes(); }

 private:
  void watch() {
    const bool is_minor = variant_.fill != Fill::copy;
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = UFFD_FEATURE_SIGBUS;
    if (is_minor && variant_.memory == Memory::huge) api.features |= UFFD_FEATURE_MINOR_HUGETLBFS;
    if (is_minor && variant_.memory == Memory::memfd) api.features |= UFFD_FEATURE_MINOR_SHMEM;
    userfault_ = FileDescriptor{
        static_cast<int>(check(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), "userfaultfd"))};
    check(::ioctl(userfault_.get(), UFFDIO_API, &api), "UFFDIO_API");
    uffdio_register request{};
    request.range = {address_of(region_.bytes().data()), region_.bytes().size()};
    request.mode = UFFDIO_REGISTER_MODE_MISSING;
    if (is_minor) request.mode |= UFFDIO_REGISTER_MODE_MINOR;
    check(::ioctl(userfault_.get(), UFFDIO_REGISTER, &request), "UFFDIO_REGISTER");
  }

  bool repair(std::byte* address) noexcept override {
    const auto at = static_cast<uint64_t>(address - region_.bytes().data());
    const uint64_t unit = at / variant_.unit_bytes * variant_.unit_bytes;
    std::byte* const place = region_.bytes().data() + unit;
    if (variant_.fill == Fill::copy) {
      uffdio_copy request{};
      request.dst = address_of(place);
      request.src = address_of(source_.data() + unit);
      request.len = variant_.unit_bytes;
      return ::ioctl(userfault_.get(), UFFDIO_COPY, &request) == 0;
    }
    std::memcpy(alias_.bytes().data() + unit, source_.data() + unit, variant_.unit_bytes);
    uffdio_continue request{};
    request.range = {address_of(place), variant_.unit_bytes};
    return ::ioctl(userfault_.get(), UFFDIO_CONTINUE, &request) == 0;
  }

  static uint64_t address_of(const std::byte* at) { return reinterpret_cast<uint64_t>(at); }

  const Variant& variant_;
  const std::span<const std::byte> source_;
  FileDescriptor file_;
  Mapping region_;
  Mapping alias_;
  FileDescriptor userfault_;
  std::optional<RepairedRange> repaired_;
};

double touch_in_order(const Variant& variant, std::span<const std::byte> source) {
  const Region region(variant, source);
  uint64_t sum = 0;
  const auto start = Clock::now();
  for (uint64_t at = 0; at < source.size(); at += page_bytes())
    sum += static_cast<uint64_t>(*const_cast<const volatile std::byte*>(&region.bytes()[at]));
  const double duration = seconds(Clock::now() - start);
  static_cast<void>(sum);
  if (std::memcmp(region.bytes().data(), source.data(), source.size()) != 0)
    throw_errno(std::string(variant.label) + ": wrong bytes", EIO);
  return static_cast<double>(source.size()) / duration;
}

bool has_huge_pages(uint64_t size) {
  void* const probe = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  if (probe == MAP_FAILED) return false;
  ::munmap(probe, size);
  return true;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void print(const std::vector<Variant>& variants) {
  for (const Variant& variant : variants) {
    const auto& base = *std::ranges::find_if(variants, [&](const Variant& other) {
      return other.memory == Memory::anonymous &&
             other.unit_bytes == std::min<uint64_t>(variant.unit_bytes, 1 << 20);
    });
    std::vector<double> ratios;
    for (size_t i = 0; i < base.bytes_per_second.size(); ++i)
      ratios.push_back(variant.bytes_per_second[i] / base.bytes_per_second[i]);
    const auto [least, most] = std::ranges::minmax(ratios);
    fmt::print(
        "{:44} unit {:>4} KiB  {:5.2f} GB/s  {:.2f} of anonymous COPY (min {:.2f}, max "
        "{:.2f}, n={})\n",
        variant.label, variant.unit_bytes >> 10, median(variant.bytes_per_second) / 1e9,
        median(ratios), least, most, ratios.size());
  }
}

int run(uint64_t size, int rounds) {
  size = size / kHugePage * kHugePage;
  std::vector<Variant> variants;
  for (const uint64_t unit : {4 << 10, 64 << 10, 256 << 10, 1 << 20}) {
    variants.push_back({"anonymous, COPY", Memory::anonymous, Fill::copy, unit, {}});
    variants.push_back({"memfd, CONTINUE", Memory::memfd, Fill::resume, unit, {}});
    variants.push_back(
        {"memfd allocated before, CONTINUE", Memory::memfd, Fill::resume_existing, unit, {}});
  }
  if (has_huge_pages(size)) {
    variants.push_back({"huge pages, COPY", Memory::huge, Fill::copy, kHugePage, {}});
    variants.push_back({"huge pages, CONTINUE", Memory::huge, Fill::resume, kHugePage, {}});
    variants.push_back({"huge pages allocated before, CONTINUE",
                        Memory::huge,
                        Fill::resume_existing,
                        kHugePage,
                        {}});
  }
  Mapping source = Mapping::anonymous(size);
  fill_content(ContentKind::random, 1, source.bytes(), 0);
  for (int round = 0; round < rounds; ++round)
    for (Variant& variant : variants)
      variant.bytes_per_second.push_back(touch_in_order(variant, source.bytes()));
  print(variants);
  return 0;
}

}  // namespace
}  // namespace memsync

int main(int argc, char** argv) {
  try {
    return memsync::run(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 256 << 20,
                        argc > 2 ? std::max(1, std::atoi(argv[2])) : 9);
  } catch (const std::exception& problem) {
    fmt::print(stderr, "userfaultfd_fill_probe: {}\n", problem.what());
    return 70;
  }
}
