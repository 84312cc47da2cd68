#include <algorithm>
#include <filesystem>
#include <sys/stat.h>

#include "approaches/baselines/rsync.h"
#include "approaches/baselines/rsync_control.h"
#include "approaches/baselines/rsync_settings.h"
#include "lib/os/error.h"

namespace memsync::rsync {

namespace {

constexpr Nanoseconds kAnswerLimit = std::chrono::seconds(5);
constexpr Nanoseconds kDaemonLook = std::chrono::milliseconds(50);

std::string made_data_folder(const TemporaryFolder& folder) {
  std::string path = folder.path() + "/" + Daemon::kData;
  std::filesystem::create_directory(path);
  return path;
}

DaemonSetup daemon_setup(Network& network, const Options& options, const std::string& folder) {
  // Says by name that this host has no such address, or that somebody else is at this port.
  network.listen(kDaemonService)->close();
  return {.address = network.address("destination0"),
          .port = tcp_port(kDaemonService),
          .allowed = network.address("source"),
          .switches = socket_switches_of(options),
          .folder = folder};
}

}  // namespace

DestinationSide::DestinationSide(SideSetup setup)
    : setup_(checked(std::move(setup))),
      folder_(TemporaryFolder::make(place_of(*setup_.options))),
      path_(made_data_folder(folder_) + "/" + kFile),
      daemon_(daemon_setup(*setup_.network, *setup_.options, folder_.path())) {
  setup_.store.reset();  // the bytes land in rsync's file
  const Deadline deadline = after(setup_.connect_limit);
  wait_for_daemon(deadline);
  stream_ = setup_.network->connect("source", kControlService, deadline);
  const std::stop_callback on_stop(setup_.stop, [this] { stream_->shut_down(); });
  ask_for_first_copy();
  region();
}

// It listens when it can be reached from here.
void DestinationSide::wait_for_daemon(Deadline deadline) const {
  for (;;) {
    try {
      const Deadline look = std::min(deadline, after(kDaemonLook));
      setup_.network->connect("destination0", kDaemonService, look);
      return;
    } catch (const std::system_error&) {
      rethrow_failure();
      if (Clock::now() >= deadline) throw;
    }
  }
}

void DestinationSide::ask_for_first_copy() {
  ask_for_copy(*stream_, setup_.geometry.size_bytes);
  // However long the copy takes: rsync itself ends where nothing moves any more.
  MutexLock lock(asking_);
  received_ = receive_number(*stream_, Deadline::max());
}

RegionView DestinationSide::region() {
  MutexLock lock(mutex_);
  struct stat about{};
  check(::stat(path_.c_str(), &about), "looking for rsync's copy at " + path_);
  if (about.st_ino != mapped_inode_) {
    const auto file = FileDescriptor::open(path_, O_RDWR);
    check(::fstat(file.get(), &about), "looking at " + path_);
    if (static_cast<uint64_t>(about.st_size) != setup_.geometry.size_bytes)
      throw_errno("rsync's copy has " + std::to_string(about.st_size) + " bytes, the region " +
                      std::to_string(setup_.geometry.size_bytes),
                  EPROTO);
    memory_ = Mapping::shared(file, setup_.geometry.size_bytes);
    mapped_inode_ = about.st_ino;
  }
  return {.memory = memory_.bytes(), .path = path_};
}

Statistics DestinationSide::statistics() const {
  Statistics result;
  result.chunks_local = setup_.geometry.chunk_count();
  MutexLock lock(asking_);
  try {
    ask_for_number(*stream_);
    received_ = receive_number(*stream_, after(kAnswerLimit));
  } catch (const std::system_error&) {
    // A source that is gone said its last number before.
  }
  result.payload_received = received_;
  return result;
}

void DestinationSide::rethrow_failure() const {
  if (const auto problem = daemon_.problem()) throw_errno(*problem, ECHILD);
}

}  // namespace memsync::rsync
