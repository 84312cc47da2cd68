// A push's connection, made again when it breaks.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "approaches/mmap_push/sender.h"
#include "harness/push.h"
#include "lib/transport/network.h"

namespace memsync {

// The files could not be made equal; what() says why, with the next step where there is one.
struct PushFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A peer that has vanished without a word breaks the stream's calls within two minutes; one that is
// only slow does not.
void notice_dead_peer(const Stream& stream) noexcept;

// Threads: one; who requests `cancelled` ends what it does, by Interrupted.
class PushConnection {
 public:
  // `sources` as in plan.files; all outlive this.
  PushConnection(const PushPlan& plan, std::vector<std::unique_ptr<mmap_push::PathSource>>& sources,
                 mmap_push::Sender::Watch watch, std::stop_token cancelled);
  ~PushConnection();

  // Calls `work` with a connection, again with another one when it breaks meanwhile: what has come
  // over needs not come again. Throws PushFailed, Interrupted, and what `work` throws else.
  template <typename Work>
  auto with_sender(const Work& work) {
    while (true) {
      try {
        connect();
        const auto result = work(*sender_);
        pause_ = kFirstPause;
        patient_until_.reset();
        return result;
      } catch (const std::system_error& problem) {
        take_break(problem);
      }
    }
  }

  uint64_t times_broken() const noexcept { return times_broken_; }
  uint64_t bytes_sent() const noexcept { return network_->bytes_sent(); }

 private:
  void connect();
  void open(Deadline deadline);
  void close() noexcept;
  // Rethrows as PushFailed what another connection would not mend; waits a little otherwise.
  void take_break(const std::system_error& problem);
  [[noreturn]] void give_up(const std::string& problem) const;

  static constexpr Nanoseconds kFirstPause = std::chrono::milliseconds(100);

  const PushPlan& plan_;
  std::vector<std::unique_ptr<mmap_push::PathSource>>& sources_;
  const mmap_push::Sender::Watch watch_;
  const std::stop_token cancelled_;
  const std::unique_ptr<Network> network_;
  bool was_connected_ = false;
  uint64_t times_broken_ = 0;
  unsigned times_corrupt_ = 0;
  // Runs while there is no connection, and on through connections that break before they did any
  // work or held for as long as one has patience.
  std::optional<Deadline> patient_until_;
  Deadline connected_at_{};
  bool is_first_break_ = true;  // before it, patience was for the first connection only
  Nanoseconds pause_ = kFirstPause;
  std::unique_ptr<Stream> stream_;
  std::optional<std::stop_callback<std::function<void()>>> on_cancel_;
  std::unique_ptr<mmap_push::Sender> sender_;
};

}  // namespace memsync
