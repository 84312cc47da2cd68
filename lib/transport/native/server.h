// The answering end of the native protocol: one event loop for all clients of a region.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <thread>
#include <vector>

#include "lib/transport/native/server_connection.h"

namespace memsync::native {

// Threads: one accepts, one moves bytes, two run control calls (a suspension waits for the app).
class Server final : public ServedRegion, private ConnectionOwner {
 public:
  Server(std::unique_ptr<Listener> listener, const Geometry& geometry, const RegionId& region,
         RegionService& service, const NativeOptions& options);
  ~Server() override;

 private:
  struct Control {
    std::function<void()> work;
    std::function<void()> then;
  };

  RegionService& service() override { return service_; }
  const Hello& hello() const override { return hello_; }
  const Geometry& geometry() const override { return geometry_; }
  boost::asio::io_context& io() override { return io_; }
  void run_control(Kind kind, std::function<void()> work, std::function<void()> then) override;
  bool fence_closing() const override { return fences_ > 0; }
  void write_started() override { ++writes_; }
  void write_ended() override;
  void forget_finished() override;

  void accept_all();
  void add(std::unique_ptr<Stream> stream);
  void watch();
  void start_control(Control control, bool is_fence);

  const std::unique_ptr<Listener> listener_;
  const Geometry geometry_;
  const Hello hello_;
  RegionService& service_;
  const NativeOptions options_;

  // The I/O thread's.
  std::vector<std::shared_ptr<ServerConnection>> connections_;
  size_t writes_ = 0;             // with the service
  size_t fences_ = 0;             // suspensions waiting or under way
  std::vector<Control> fencing_;  // those that wait for writes to end
  bool ending_ = false;

  boost::asio::io_context io_{1};
  boost::asio::steady_timer watch_timer_{io_};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  boost::asio::thread_pool controls_{2};
  std::jthread io_thread_;
  std::jthread acceptor_;  // last: ends before what it uses
};

}  // namespace memsync::native
