// A web server on this host with one object, right or wrong as the path says. For tests.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "lib/os/error.h"
#include "lib/os/process.h"
#include "lib/region/geometry.h"

namespace memsync::test {

// Runs lib/backend/http_test_server.py, which says what paths there are, until it is destroyed.
class HttpTestServer {
 public:
  enum class Tls : uint8_t { off, on };

  explicit HttpTestServer(std::span<const std::byte> content, Tls tls = Tls::off)
      : folder_(make_folder()), tls_(tls), process_(start(content)) {
    ::setenv("no_proxy", "127.0.0.1", 1);
  }
  ~HttpTestServer() {
    process_.kill(SIGKILL);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  HttpTestServer(const HttpTestServer&) = delete;
  HttpTestServer& operator=(const HttpTestServer&) = delete;

  // Such as url("always/plain").
  std::string url(std::string_view path) const {
    return std::string(tls_ == Tls::on ? "https" : "http") + "://127.0.0.1:" + port_ + "/" +
           std::string(path);
  }
  std::string certificate() const { return folder_ + "/certificate.pem"; }

  struct Request {
    std::string path;
    ByteRange range;
    std::string condition;
  };
  // What it was asked for so far, the opening request first.
  std::vector<Request> requests() const {
    std::ifstream log(folder_ + "/log");
    std::vector<Request> requests;
    uint64_t first = 0;
    uint64_t last = 0;
    for (Request request; log >> request.path >> first >> last;) {
      std::getline(log >> std::ws, request.condition);
      request.range = {first, last - first + 1};
      requests.push_back(request);
    }
    return requests;
  }

 private:
  static std::string make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "memsync-http-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw_errno("making a folder for the web server");
    return name;
  }
  Process start(std::span<const std::byte> content) {
    std::ofstream(folder_ + "/content", std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()),
               static_cast<std::streamsize>(content.size()));
    int ends[2];
    check(::pipe2(ends, O_CLOEXEC), "pipe");
    const FileDescriptor output{ends[0]};
    FileDescriptor theirs{ends[1]};
    ProcessSetup setup;
    setup.arguments = {MEMSYNC_PYTHON, MEMSYNC_HTTP_TEST_SERVER, folder_ + "/content",
                       folder_ + "/log"};
    if (tls_ == Tls::on) setup.arguments.insert(setup.arguments.end(), {"--tls", folder_});
    setup.descriptors = {{theirs.get(), 1}};
    Process process = Process::start(setup);
    theirs = FileDescriptor{};
    for (char letter = 0; letter != '\n';) {
      read_all(output.get(), &letter, 1, "waiting for the web server");
      if (letter != '\n') port_ += letter;
    }
    return process;
  }

  const std::string folder_;
  const Tls tls_;
  std::string port_;
  Process process_;  // after port_, which start() sets
};

}  // namespace memsync::test
