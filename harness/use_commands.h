// How the verbs outside a campaign (serve, pull, push, receive, hub) are written on the command
// line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "harness/certificates.h"
#include "harness/hub.h"
#include "harness/pull.h"
#include "harness/push.h"
#include "harness/receive.h"
#include "harness/serve.h"

namespace memsync {

void declare_serve(CLI::App& app, ServeOptions& options);
void declare_pull(CLI::App& app, PullOptions& options);
void declare_push(CLI::App& app, PushOptions& options);
void declare_receive(CLI::App& app, ReceiveOptions& options);
void declare_hub(CLI::App& app, HubOptions& options);
void declare_certificates(CLI::App& app, CertificatesOptions& options);
// Takes `-- COMMAND ARGS...` off the end of `memsync pull ...`, so that its words are nobody's
// options; returns the command.
std::vector<std::string> take_command(int& argc, char** argv);

}  // namespace memsync
