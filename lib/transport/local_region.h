// The owner's end of a region: answers a RegionService from a Reader, with the fence of ownership.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>

#include "lib/backend/backend.h"
#include "lib/os/mutex.h"
#include "lib/transport/region_service.h"

namespace memsync {

// What an approach's source gives to Transport::serve(), or asks itself where the bytes are in this
// process. Reads come from `reader`; where it stands in memory they can be borrowed. Writes are
// refused unless `writable` is given. Exchanges are refused unless on_exchange is set before
// serving. The app is stopped by `suspend_app` and, when a hand-over failed, restarted by
// `resume_app`. Threads: as RegionService. suspend_app and resume_app are called one at a time.
class LocalRegion : public RegionService {
 public:
  struct Hooks {
    std::function<void()> suspend_app{};  // returns once the app has stopped writing; may be empty
    std::function<void()> resume_app{};   // may be empty
    std::function<std::vector<ChunkIndex>()>
        collect_dirty{};                     // called after suspend_app; may be empty
    std::function<void()> start_tracking{};  // may be empty
    std::function<void()> released{};        // may be empty
    // Answers an exchange: topic, request -> reply; throws std::system_error. May be empty.
    std::function<std::vector<std::byte>(std::string_view, std::span<const std::byte>)>
        on_exchange{};
  };
  // Which thread does a read.
  enum class Reads : uint8_t {
    // Of memory the asking one, at once; of other readers a few threads of this object, demand
    // first, so that a slow read keeps no other one waiting.
    pooled,
    // Demand the asking one, which saves two wake-ups: for readers that never wait long. Background
    // this object's threads, even of memory, so that demand comes in between.
    demand_at_once,
  };
  // `reader` (and `writable`, the same store, where given) outlive this.
  LocalRegion(Reader& reader, Backend* writable, const RegionId& region, Hooks hooks,
              Reads reads = Reads::pooled);
  ~LocalRegion() override;

  void start_reads(std::span<const ReadRequest> requests, Urgency urgency, Deadline deadline,
                   CompletionSink& sink) override;
  void start_writes(std::span<const WriteRequest> requests, Urgency urgency, Deadline deadline,
                    CompletionSink& sink) override;
  void start_exchange(std::string_view topic, std::span<const std::byte> request, uint64_t tag,
                      Urgency urgency, Deadline deadline, CompletionSink& sink) override;
  void start_tracking(uint64_t epoch, Deadline deadline) override;
  Suspension suspend_and_collect(uint64_t epoch, std::span<const ByteRange> wanted,
                                 Deadline deadline) override;
  void resume(uint64_t epoch, Deadline deadline) override;
  void release(uint64_t epoch, Deadline deadline) override;
  uint64_t epoch() const noexcept override;
  std::span<const std::byte> borrow(ByteRange range) noexcept override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace memsync
