#include "harness/receive_from_hub.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "approaches/mmap_push/receiver.h"
#include "harness/exit_codes.h"
#include "harness/meter.h"
#include "harness/push_connection.h"
#include "harness/received_versions.h"
#include "harness/stop_requests.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

using mmap_push::PeerFailure;
using mmap_push::ReceivedFile;

constexpr Nanoseconds kFirstConnect = std::chrono::seconds(5);
constexpr Nanoseconds kAttempt = std::chrono::seconds(1);
constexpr Nanoseconds kGreeting = std::chrono::seconds(10);
constexpr Nanoseconds kFirstPause = std::chrono::milliseconds(100);
constexpr Nanoseconds kPauseMax = std::chrono::seconds(5);
constexpr unsigned kCorruptMax = 3;

// Threads: one.
class HubConnection {
 public:
  HubConnection(const ReceiveOptions& options, const std::stop_token& cancelled)
      : options_(options),
        address_(options.words.front()),
        patience_(parse_duration(options.patience)),
        cancelled_(cancelled),
        network_(open_network(address_, options.tls, {})),
        folder_(options.words.back(),
                options.publish == "versions" ? mmap_push::Publish::versions
                                              : mmap_push::Publish::in_place,
                options.durable ? mmap_push::Durable::on : mmap_push::Durable::off),
        patient_until_(after(kFirstConnect)) {}

  int run() {
    while (true) {
      try {
        serve_once();
        if (is_complete_) return exit_code::kOk;
        take_break("the hub ended the connection");
      } catch (const std::system_error& problem) {
        if (is_complete_) return exit_code::kOk;
        if (!cancelled_.stop_requested() && !may_pass(problem)) return give_up(problem.what());
        take_break(problem.what());
      }
      if (cancelled_.stop_requested())
        return options_.once ? exit_code::kInterrupted : exit_code::kOk;
      if (Clock::now() >= patient_until_) return give_up(last_words_);
    }
  }

 private:
  // Until the connection ends.
  void serve_once() {
    const auto stream = network_->connect("", "hub", std::min(patient_until_, after(kAttempt)));
    notice_dead_peer(*stream);
    const std::stop_callback on_cancel(cancelled_, [&] { stream->shut_down(); });
    ReceivedVersions versions(options_.json);
    const mmap_push::Receiver* serving = nullptr;
    mmap_push::ReceiverEvents events;
    events.offered = [&](const std::string&) { has_files_ = true; };
    events.published = [&](ReceivedFile& file, const mmap_push::End&, bool) {
      meter_.reset();
      versions.report(file, serving->payload_bytes());
    };
    events.progress = [&](const ReceivedFile& file, uint64_t done) {
      const uint64_t size = file.table.geometry().size_bytes;
      if (!meter_ || meter_->total_bytes() != size) meter_.emplace(size);
      meter_->show(done);
    };
    events.settled = [&] {
      pause_ = kFirstPause;
      patient_until_ = Deadline::max();
      if (!options_.once || !has_files_) return;
      is_complete_ = true;
      stream->shut_down();
    };
    mmap_push::Receiver receiver(*stream, folder_, std::move(events), after(kGreeting),
                                 mmap_push::Receiver::kStallLimit, {.may_be_hub = true});
    serving = &receiver;
    tell_receive(was_connected_ ? "connected again; it goes on where it stopped"
                                : fmt::format("files of the hub at {} come to {}; Ctrl-C ends it",
                                              address_, options_.words.back()));
    was_connected_ = true;
    is_connected_ = true;
    receiver.serve();
  }

  // Whether another connection may mend it. A hub that is busy may have room later, and one that
  // has been restarted may hold other bytes than this one believes.
  bool may_pass(const std::system_error& problem) {
    const int error =
        problem.code().category() == std::generic_category() ? problem.code().value() : 0;
    if (dynamic_cast<const PeerFailure*>(&problem) != nullptr) return error == EBUSY;
    if (error == EBADMSG) return ++times_corrupt_ < kCorruptMax;
    return error == ECONNRESET || error == EPIPE || error == ETIMEDOUT || error == ECONNREFUSED ||
           error == ENOENT || error == EHOSTUNREACH || error == ENETUNREACH;
  }

  void take_break(const std::string& words) {
    meter_.reset();
    last_words_ = words;
    if (cancelled_.stop_requested()) return;
    if (std::exchange(is_connected_, false)) {
      // One that never settled anything has run out the patience since the last one that did.
      if (patient_until_ == Deadline::max() || !has_broken_) patient_until_ = after(patience_);
      has_broken_ = true;
      tell_receive(fmt::format("{}; trying again for {}", words, format_duration(patience_)));
    }
    wait_until(after(pause_), cancelled_);
    pause_ = std::min(pause_ * 2, kPauseMax);
  }

  int give_up(const std::string& words) const {
    tell_receive(was_connected_ ? words
                                : fmt::format("{}; is `memsync hub DIR --listen {}` running there?",
                                              words, address_));
    return exit_code::kIncomplete;
  }

  const ReceiveOptions& options_;
  const std::string address_;
  const Nanoseconds patience_;
  const std::stop_token cancelled_;
  const std::unique_ptr<Network> network_;
  mmap_push::ReceivedFolder folder_;  // what it knows outlives a connection
  std::optional<Meter> meter_;
  Deadline patient_until_;  // max: there is a connection, or was one that did its work
  Nanoseconds pause_ = kFirstPause;
  std::string last_words_;
  unsigned times_corrupt_ = 0;
  bool is_connected_ = false, was_connected_ = false, has_broken_ = false;
  bool has_files_ = false, is_complete_ = false;
};

}  // namespace

int receive_from_hub(const ReceiveOptions& options, const std::stop_token& cancelled) {
  return HubConnection(options, cancelled).run();
}

}  // namespace memsync
