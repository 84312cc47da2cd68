// A mutex that clang's thread-safety analysis understands (libstdc++'s is not annotated).
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define MEMSYNC_ANNOTATE(x) __attribute__((x))
#else
#define MEMSYNC_ANNOTATE(x)
#endif
#define CAPABILITY(x) MEMSYNC_ANNOTATE(capability(x))
#define SCOPED_CAPABILITY MEMSYNC_ANNOTATE(scoped_lockable)
#define GUARDED_BY(x) MEMSYNC_ANNOTATE(guarded_by(x))
#define REQUIRES(...) MEMSYNC_ANNOTATE(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) MEMSYNC_ANNOTATE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) MEMSYNC_ANNOTATE(release_capability(__VA_ARGS__))
#define EXCLUDES(...) MEMSYNC_ANNOTATE(locks_excluded(__VA_ARGS__))

namespace memsync {

class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Holds a Mutex for a scope; unlock() and lock() open a gap in it (a condition needs that).
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  void lock() ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }
  void unlock() RELEASE() {
    held_ = false;
    mutex_.unlock();
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

// Waits with a Mutex held: pass the Mutex itself to wait(), wait_until() ... while it is locked.
using Condition = std::condition_variable_any;

}  // namespace memsync
