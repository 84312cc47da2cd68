#include "approaches/mmap_push/hub/published_file.h"

#include <unistd.h>

#include "lib/os/error.h"

namespace memsync::mmap_push {

bool Version::read(std::span<std::byte> into, uint64_t offset) const {
  std::shared_ptr<const FileDescriptor> file;
  {
    const MutexLock lock(mutex_);
    file = file_;
  }
  if (!file) return false;
  while (!into.empty()) {
    const ssize_t got = ::pread(file->get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    check(got, "reading a version to be forwarded");
    if (got == 0) throw_errno("reading a version to be forwarded, which somebody has cut", EIO);
    into = into.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return true;
}

void Version::take_back() const {
  std::shared_ptr<const FileDescriptor> file;  // closed without the mutex
  const MutexLock lock(mutex_);
  file.swap(file_);
}

Subscription::Subscription(PublishedFile& its_file, const FileDescriptor& wake,
                           const std::string& receiver)
    : file(its_file), wake_(wake), receiver_(receiver) {
  const MutexLock lock(file.mutex_);
  shared_.missing.resize(file.digests_.count());
  file.subscriptions_.push_back(this);
}

Subscription::~Subscription() {
  const MutexLock lock(file.mutex_);
  file.subscriptions_.remove(this);
}

PublishedFile::PublishedFile(std::string its_name, uint64_t its_block_bytes, uint64_t seed)
    : name(std::move(its_name)),
      block_bytes(static_cast<uint32_t>(its_block_bytes)),
      digests_(its_block_bytes, seed) {}

bool PublishedFile::publish(const BlockTable& table, std::shared_ptr<const FileDescriptor> file) {
  const Digest digest = table.digest();
  const uint64_t size = table.geometry().size_bytes;
  const MutexLock lock(mutex_);
  bool is_new = !current_ || current_->size_bytes != size;
  // What lies behind the shorter end, and the block that it cuts, is unknown to whoever had it.
  digests_.resize(size);
  BlockSet differing(table.count());
  for (ChunkIndex block = 0; block < table.count(); ++block) {
    if (table.at(block) == digests_.at(block)) continue;
    differing.add(block);
    digests_.set(block, table.at(block));
    is_new = true;
  }
  const uint64_t number = current_ ? current_->number + (is_new ? 1 : 0) : 1;
  if (current_) retire(std::move(current_));
  current_ = std::make_shared<const Version>(number, size, digest, std::move(file));
  if (!is_new) return false;
  for (Subscription* subscription : subscriptions_) {
    subscription->shared_.missing.resize(table.count());
    subscription->shared_.missing.add(differing);
    signal_event(subscription->wake_);
  }
  return true;
}

void PublishedFile::retire(std::shared_ptr<const Version> old) {
  std::erase_if(old_, [](const auto& version) { return version.expired(); });
  old_.push_back(std::move(old));
  std::erase_if(old_, [](const auto& version) { return version.expired(); });
  if (old_.size() <= kOldVersionsMax) return;
  if (const auto oldest = old_.front().lock()) oldest->take_back();
  old_.erase(old_.begin());
}

uint64_t PublishedFile::size_bytes() const {
  const MutexLock lock(mutex_);
  return current_->size_bytes;
}

uint64_t PublishedFile::number() const {
  const MutexLock lock(mutex_);
  return current_->number;
}

bool PublishedFile::equals(const Digest& table, uint64_t size_bytes) const {
  const MutexLock lock(mutex_);
  return current_->size_bytes == size_bytes && current_->table == table;
}

void PublishedFile::compare(Subscription& subscription, uint64_t first,
                            std::span<const Digest> digests) const {
  const MutexLock lock(mutex_);
  for (size_t i = 0; i < digests.size() && first + i < digests_.count(); ++i)
    if (digests[i] != digests_.at(first + i)) subscription.shared_.missing.add(first + i);
}

void PublishedFile::miss_from(Subscription& subscription, uint64_t first) const {
  const MutexLock lock(mutex_);
  subscription.shared_.missing.add_from(first);
}

std::optional<PublishedFile::Sending> PublishedFile::take(Subscription& subscription) {
  const MutexLock lock(mutex_);
  auto& [missing, acknowledged] = subscription.shared_;
  if (acknowledged == current_->number && missing.is_empty()) return std::nullopt;
  const uint64_t count = digests_.count();
  Sending sending{current_, std::exchange(missing, BlockSet(count)), BlockSet(count)};
  const Geometry& geometry = digests_.geometry();
  for (ChunkIndex at = sending.blocks.next(0); at < count; at = sending.blocks.next(at + 1))
    if (digests_.at(at) == digests_.digest_of_zeros(geometry.chunk_length(at)))
      sending.zeros.add(at);
  return sending;
}

void PublishedFile::give_back(Subscription& subscription, const BlockSet& unsent) {
  const MutexLock lock(mutex_);
  subscription.shared_.missing.add(unsent);
}

void PublishedFile::acknowledge(Subscription& subscription, uint64_t version) {
  const MutexLock lock(mutex_);
  subscription.shared_.acknowledged = version;
}

std::vector<Holding> PublishedFile::holdings() const {
  const MutexLock lock(mutex_);
  std::vector<Holding> holdings;
  for (const Subscription* one : subscriptions_)
    holdings.push_back({one->receiver_, one->shared_.acknowledged,
                        std::min(one->shared_.missing.size() * block_bytes, current_->size_bytes)});
  return holdings;
}

}  // namespace memsync::mmap_push
