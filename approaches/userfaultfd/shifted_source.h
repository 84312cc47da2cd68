// A part of a region as a region of its own, to read.
#pragma once

#include <memory>
#include <vector>

#include "lib/transport/region_service.h"

namespace memsync::userfaultfd {

// Offset 0 is `begin` of the service that it owns. Reading alone is offered. Threads: any.
class ShiftedSource : public RegionService {
 public:
  ShiftedSource(std::unique_ptr<RegionService> whole, uint64_t begin)
      : whole_(std::move(whole)), begin_(begin) {}

  void start_reads(std::span<const ReadRequest> requests, Urgency urgency, Deadline deadline,
                   CompletionSink& sink) override {
    std::vector<ReadRequest> shifted(requests.begin(), requests.end());
    for (ReadRequest& request : shifted) request.offset += begin_;
    whole_->start_reads(shifted, urgency, deadline, sink);
  }
  void start_writes(std::span<const WriteRequest> requests, Urgency, Deadline,
                    CompletionSink& sink) override {
    for (const WriteRequest& request : requests) refuse(request.tag, sink);
  }
  void start_exchange(std::string_view, std::span<const std::byte>, uint64_t tag, Urgency, Deadline,
                      CompletionSink& sink) override {
    refuse(tag, sink);
  }
  void start_tracking(uint64_t, Deadline) override { throw_refused(); }
  Suspension suspend_and_collect(uint64_t, std::span<const ByteRange>, Deadline) override {
    throw_refused();
  }
  void resume(uint64_t, Deadline) override { throw_refused(); }
  void release(uint64_t, Deadline) override { throw_refused(); }
  uint64_t epoch() const noexcept override { return whole_->epoch(); }

 private:
  static void refuse(uint64_t tag, CompletionSink& sink) {
    Completion refused{.tag = tag, .error = make_error_code(RegionError::refused), .reply = {}};
    sink.completed({&refused, 1});
  }
  [[noreturn]] static void throw_refused() {
    throw std::system_error(make_error_code(RegionError::refused), "a part of a region");
  }

  const std::unique_ptr<RegionService> whole_;
  const uint64_t begin_;
};

}  // namespace memsync::userfaultfd
