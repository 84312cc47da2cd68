#include "lib/os/network_namespace.h"

#include <cstring>
#include <exception>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "lib/os/error.h"

namespace memsync {

namespace {

// Runs `work` in a thread of its own, whose namespaces may therefore be changed freely.
void in_own_thread(const std::function<void()>& work) {
  std::exception_ptr failure;
  std::jthread([&] {
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

FileDescriptor open_own_namespace() {
  return FileDescriptor::open("/proc/thread-self/ns/net", O_RDONLY);
}

void raise_loopback() {
  const FileDescriptor socket{
      check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "a socket in a new namespace")};
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
  check(::ioctl(socket.get(), SIOCGIFFLAGS, &request), "reading the flags of lo");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  check(::ioctl(socket.get(), SIOCSIFFLAGS, &request), "raising lo");
}

std::string sysctl_path(const std::string& name) {
  return "/proc/sys/" + name;
}

}  // namespace

NetworkNamespace NetworkNamespace::create() {
  FileDescriptor descriptor;
  in_own_thread([&] {
    check(::unshare(CLONE_NEWNET), "making a network namespace");
    raise_loopback();
    descriptor = open_own_namespace();
  });
  return NetworkNamespace{std::move(descriptor)};
}

NetworkNamespace NetworkNamespace::current() {
  return NetworkNamespace{open_own_namespace()};
}

void NetworkNamespace::run(const std::function<void()>& work) const {
  in_own_thread([&] {
    check(::setns(descriptor_.get(), CLONE_NEWNET), "entering a network namespace");
    work();
  });
}

void NetworkNamespace::set_sysctl(const std::string& name, const std::string& value) const {
  run([&] {
    const auto file = FileDescriptor::open(sysctl_path(name), O_WRONLY);
    write_all(file.get(), value.data(), value.size(), "setting " + name + " to " + value);
  });
}

std::string NetworkNamespace::get_sysctl(const std::string& name) const {
  std::string value(256, '\0');
  run([&] {
    const auto file = FileDescriptor::open(sysctl_path(name), O_RDONLY);
    const auto got = check(::read(file.get(), value.data(), value.size()), "reading " + name);
    value.resize(static_cast<size_t>(got));
  });
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

}  // namespace memsync
