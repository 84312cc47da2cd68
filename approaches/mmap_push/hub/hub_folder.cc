#include "approaches/mmap_push/hub/hub_folder.h"

#include <filesystem>
#include <poll.h>

#include "lib/os/error.h"

namespace memsync::mmap_push {

namespace {

namespace fs = std::filesystem;

// What may be files of a hub, from one run to the next. Links are not followed.
std::vector<std::string> names_below(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry :
       fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied)) {
    std::string name = entry.path().lexically_relative(path).string();
    if (entry.symlink_status().type() == fs::file_type::regular && name_problem(name).empty())
      names.push_back(std::move(name));
  }
  return names;
}

uint32_t block_bytes_of(const std::string& path) {
  std::error_code gone;
  const uint64_t size = fs::file_size(path, gone);
  uint32_t block = 4096;
  while (!gone && block < kBlockBytesMax && size / block >= kBlocksMax / 4) block *= 2;
  return block;
}

// Whether the other end has closed. Source: poll(2), POLLRDHUP.
bool has_hung_up(const Stream& stream) {
  pollfd look{stream.descriptor(), POLLRDHUP, 0};
  return ::poll(&look, 1, 0) > 0;
}

// The first copy of a large file is made once more after it was acknowledged.
constexpr Nanoseconds kHungUpLimit = std::chrono::seconds(60);

}  // namespace

HubFolder::HubFolder(std::string path, Durable durable, uint64_t seed)
    : path_(std::move(path)), durable_(durable), seed_(seed) {}

ReceivedFolder HubFolder::open_folder() const {
  return ReceivedFolder(path_, Publish::versions, durable_, {}, seed_);
}

void HubFolder::load(const std::function<bool(const std::string& name)>& going_on) {
  ReceivedFolder folder = open_folder();
  for (const std::string& name : names_below(path_)) {
    if (!going_on(name)) return;
    ReceivedFile& received = folder.open(name, block_bytes_of(path_ + "/" + name));
    // Half a round of a pusher that is no longer there: what is published is what counts.
    if (!received.file.is_as_published()) ReceivedFolder::reread(received);
    publish(received);
    give_back(name, folder.release(name));
  }
}

std::unique_ptr<ReceivedFile> HubFolder::lend(const std::string& name, const Stream& pusher) {
  const Deadline deadline = after(kHungUpLimit);
  const MutexLock lock(mutex_);
  while (true) {
    Kept& kept = kept_[name];
    if (kept.pusher == nullptr) {
      kept.pusher = &pusher;
      return std::move(kept.file);
    }
    if (!has_hung_up(*kept.pusher) ||
        given_back_.wait_until(mutex_, deadline) == std::cv_status::timeout)
      throw_errno("'" + name + "' is being pushed by somebody else here", EBUSY);
  }
}

void HubFolder::give_back(const std::string& name, std::unique_ptr<ReceivedFile> file) {
  const MutexLock lock(mutex_);
  if (file)
    kept_[name] = {std::move(file), nullptr};
  else
    kept_.erase(name);
  given_back_.notify_all();
}

bool HubFolder::is_lent(const std::string& name) const {
  const MutexLock lock(mutex_);
  const auto found = kept_.find(name);
  return found != kept_.end() && found->second.pusher != nullptr;
}

uint64_t HubFolder::publish(ReceivedFile& received) {
  const uint64_t block_bytes = received.table.geometry().chunk_bytes;
  PublishedFile* before = nullptr;
  {
    const MutexLock lock(mutex_);
    const auto found = by_name_.find(received.name);
    if (found != by_name_.end()) before = found->second;
  }
  if (before != nullptr && before->block_bytes == block_bytes)
    return before->publish(received.table, received.file.keep_published()) ? before->number() : 0;
  auto file = std::make_shared<PublishedFile>(received.name, block_bytes, seed_);
  file->publish(received.table, received.file.keep_published());
  const MutexLock lock(mutex_);
  by_name_[received.name] = file.get();
  for (auto& other : published_)
    if (other.get() == before) other.reset();
  published_.push_back(std::move(file));
  for (const FileDescriptor* wake : wakes_) signal_event(*wake);
  return 1;
}

std::vector<std::shared_ptr<PublishedFile>> HubFolder::published_from(size_t first) const {
  const MutexLock lock(mutex_);
  return {published_.begin() + static_cast<std::ptrdiff_t>(first), published_.end()};
}

bool HubFolder::is_current(const PublishedFile& file) const {
  const MutexLock lock(mutex_);
  const auto found = by_name_.find(file.name);
  return found != by_name_.end() && found->second == &file;
}

void HubFolder::remember(const FileDescriptor& wake) {
  const MutexLock lock(mutex_);
  wakes_.push_back(&wake);
}

void HubFolder::forget(const FileDescriptor& wake) {
  const MutexLock lock(mutex_);
  wakes_.remove(&wake);
}

}  // namespace memsync::mmap_push
