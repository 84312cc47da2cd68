#include "approaches/mmap_push/received_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "lib/transport/region_service.h"

namespace memsync::mmap_push {

namespace {

void digest_what_is_there(ReceivedFile& received) {
  received.table.resize(received.file.size_bytes());
  const Geometry& geometry = received.table.geometry();
  constexpr uint64_t kPiece = 1 << 20;  // a whole number of blocks
  std::vector<std::byte> piece(std::min(kPiece, geometry.size_bytes));
  for (uint64_t offset = 0; offset < geometry.size_bytes; offset += kPiece) {
    const auto bytes = std::span(piece).first(std::min(kPiece, geometry.size_bytes - offset));
    const bool is_hole = received.file.is_hole(offset, bytes.size());
    if (!is_hole) received.file.read(bytes, offset);
    for (uint64_t at = 0; at < bytes.size(); at += geometry.chunk_bytes) {
      const auto block = bytes.subspan(at, std::min(geometry.chunk_bytes, bytes.size() - at));
      received.table.set(geometry.chunk_of(offset + at),
                         is_hole ? received.table.digest_of_zeros(block.size())
                                 : received.table.digest_of_block(block));
    }
  }
}

uint64_t random_seed() {
  uint64_t seed = 0;
  if (::getrandom(&seed, sizeof seed, 0) != sizeof seed) throw_errno("asking for a random number");
  return seed;
}

}  // namespace

ReceivedFolder::ReceivedFolder(const std::string& path, Publish publish, Durable durable,
                               ReceivedLimits limits, std::optional<uint64_t> seed)
    : root_(FileDescriptor::open(path, O_RDONLY | O_DIRECTORY)),
      publish_(publish),
      durable_(durable),
      limits_(limits),
      seed_(seed ? *seed : random_seed()) {}

FileDescriptor own_folder(const std::string& path) {
  FileDescriptor folder = FileDescriptor::open(path, O_RDONLY | O_DIRECTORY);
  if (::flock(folder.get(), LOCK_EX | LOCK_NB) == 0) return folder;
  throw_errno("receiving into " + path, errno == EWOULDBLOCK ? EBUSY : errno);
}

// Each part of the way is opened by itself, so that none leads through a symbolic link.
FileDescriptor ReceivedFolder::folder_of(const std::string& name) const {
  FileDescriptor folder{check(::openat(root_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                              "opening the receiver's folder")};
  size_t start = 0;
  for (size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', start)) {
    const std::string part = name.substr(start, slash - start);
    const std::string attempt = "opening the folder of the received file " + name;
    const bool is_new = ::mkdirat(folder.get(), part.c_str(), 0777) == 0;
    if (!is_new && errno != EEXIST) throw_errno(attempt);
    if (is_new && durable_ == Durable::on) check(::fsync(folder.get()), attempt);
    folder = FileDescriptor{
        check(::openat(folder.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
              attempt)};
    start = slash + 1;
  }
  return folder;
}

ReceivedFile& ReceivedFolder::open(const std::string& name, uint32_t block_bytes) {
  if (const std::string problem = name_problem(name); !problem.empty())
    throw std::system_error(make_error_code(RegionError::refused), problem);
  auto& received = files_[name];
  if (received && received->table.geometry().chunk_bytes == block_bytes) return *received;
  received.reset();  // before its successor opens the same files
  try {
    const size_t slash = name.rfind('/');
    received = std::make_unique<ReceivedFile>(
        folder_of(name), name, slash == std::string::npos ? name : name.substr(slash + 1), publish_,
        durable_, block_bytes, seed_);
    check_size(received->file.size_bytes(), block_bytes);
    check_room(*received, received->file.size_bytes());
    note_what_is_there(*received);
  } catch (...) {
    files_.erase(name);
    throw;
  }
  return *received;
}

void ReceivedFolder::note_what_is_there(ReceivedFile& received) const {
  if (digests_ == Digests::kept)
    digest_what_is_there(received);
  else
    received.table.resize(received.file.size_bytes());
}

void ReceivedFolder::reread(ReceivedFile& received) {
  received.file.start_over();
  check_size(received.file.size_bytes(), received.table.geometry().chunk_bytes);
  digest_what_is_there(received);
}

void ReceivedFolder::adopt(std::unique_ptr<ReceivedFile> file) {
  auto& place = files_[file->name];
  place = std::move(file);
}

std::unique_ptr<ReceivedFile> ReceivedFolder::release(const std::string& name) {
  const auto found = files_.find(name);
  if (found == files_.end()) return nullptr;
  auto file = std::move(found->second);
  files_.erase(found);
  return file;
}

void ReceivedFolder::agree(uint64_t seed, Digests digests) {
  if (seed == seed_ && digests == digests_) return;
  files_.clear();
  seed_ = seed;
  digests_ = digests;
}

void ReceivedFolder::check_room(const ReceivedFile& received, uint64_t size_bytes) const {
  const auto refuse = [&](const std::string& why) {
    throw std::system_error(
        make_error_code(RegionError::refused),
        "the file '" + received.name + "' of " + std::to_string(size_bytes) + " bytes: " + why);
  };
  if (size_bytes > limits_.file_bytes)
    refuse("this receiver takes " + std::to_string(limits_.file_bytes) + " at most");
  uint64_t blocks = Geometry{size_bytes, received.table.geometry().chunk_bytes}.chunk_count();
  for (const auto& [name, other] : files_)
    if (other && other.get() != &received) blocks += other->table.count();
  if (blocks > limits_.blocks)
    refuse("with its other files more than " + std::to_string(limits_.blocks) +
           " blocks; choose larger ones");
}

void ReceivedFolder::forget(const ReceivedFile& received) {
  files_.erase(std::string(received.name));
}

}  // namespace memsync::mmap_push
