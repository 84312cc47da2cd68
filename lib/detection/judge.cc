// What each kind of detector sees where it is put: by the kernel, the mapping and the file system.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "lib/detection/change_detector.h"
#include "lib/detection/file_watching.h"
#include "lib/os/error.h"
#include "lib/os/pagemap.h"
#include "lib/os/userfault.h"

namespace memsync {

namespace {

constexpr decltype(statfs::f_type) kXfs = 0x58465342;  // XFS_SUPER_MAGIC, in no header

enum class Place : uint8_t { anonymous, memory_file, tmpfs, ext, other_local, elsewhere };

// memfd_create(2): such a descriptor's link begins with "/memfd:".
bool is_memory_file(int file) {
  char name[16] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(file);
  return ::readlink(link.c_str(), name, sizeof(name) - 1) > 0 &&
         std::string_view(name).starts_with("/memfd:");
}

Place place_of(int file) {
  if (file < 0) return Place::anonymous;
  struct statfs system{};
  check(::fstatfs(file, &system), "looking at the region's file system");
  switch (system.f_type) {
    case TMPFS_MAGIC:
      return is_memory_file(file) ? Place::memory_file : Place::tmpfs;
    case EXT4_SUPER_MAGIC:
      return Place::ext;
    case BTRFS_SUPER_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case kXfs:
      return Place::other_local;
    default:
      return Place::elsewhere;
  }
}

// By /proc/self/maps, "from-to rwxs ...": p where a store makes a copy that is the process' own.
bool is_private(std::span<const std::byte> memory) {
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t from = 0, to = 0;
    char permissions[5] = {};
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, permissions) == 3 &&
        from <= address && address < to)
      return permissions[3] == 'p';
  }
  return false;
}

std::string userfault_problem(Userfault::WriteTracking how) {
  const auto problems = Userfault::problems({.tracking = how});
  return problems.empty() ? "" : problems.front();
}

DetectorVerdict sees_stores_unless(std::string problem) {
  if (!problem.empty()) return {{}, std::move(problem)};
  return {{Writer::stores}, ""};
}

DetectorVerdict judge_faults(Place place) {
  if (place == Place::ext || place == Place::other_local || place == Place::elsewhere)
    return {{}, "faults of files that are on no tmpfs can't be reported; choose 'scan' or 'hash'"};
  return sees_stores_unless(userfault_problem(Userfault::WriteTracking::faults));
}

DetectorVerdict judge_soft_dirty(const Watched& watched) {
  if (!Pagemap::has_soft_dirty())
    return {{}, "this kernel has no soft-dirty bits (CONFIG_MEM_SOFT_DIRTY); choose 'scan'"};
  if (!watched.writers_pause)
    return {{},
            "soft-dirty bits can't be read and cleared in one step, and writers that do not pause "
            "would be missed in between; choose 'scan'"};
  return {{Writer::stores}, ""};
}

DetectorVerdict judge_mtime(Place place) {
  switch (place) {
    case Place::anonymous:
      return {{}, "anonymous memory has no modification time; choose 'scan'"};
    case Place::other_local:
    case Place::elsewhere:
      return {{},
              "only on ext4 and tmpfs is it known when a call that has stamped the file has also "
              "written it; choose 'inotify' or 'hash'"};
    default:
      return {{Writer::file_calls}, ""};
  }
}

DetectorVerdict judge_inotify(Place place) {
  switch (place) {
    case Place::anonymous:
      return {{}, "anonymous memory raises no inotify events; choose 'scan'"};
    case Place::elsewhere:
      return {{}, "calls of other hosts may reach this file system unreported; choose 'hash'"};
    case Place::memory_file:
      if (!memory_files_raise_events())
        return {{}, "this kernel reports no calls on anonymous memory files; choose 'mtime'"};
      [[fallthrough]];
    default:
      return {{Writer::file_calls}, ""};
  }
}

}  // namespace

DetectorVerdict judge_detector(DetectorKind kind, const Watched& watched) {
  const Place place = place_of(watched.file);
  if (place != Place::anonymous && is_private(watched.memory))
    return {{}, "the mapping is private, so no store reaches the file; map it with MAP_SHARED"};
  switch (kind) {
    case DetectorKind::hash:
    case DetectorKind::shadow:
      return {WriterSet::all(), ""};
    case DetectorKind::scan:
      return sees_stores_unless(userfault_problem(Userfault::WriteTracking::scan));
    case DetectorKind::faults:
      return judge_faults(place);
    case DetectorKind::soft_dirty:
      return judge_soft_dirty(watched);
    case DetectorKind::mtime:
      return judge_mtime(place);
    case DetectorKind::inotify:
      break;
  }
  return judge_inotify(place);
}

}  // namespace memsync
