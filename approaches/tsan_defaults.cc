// What TSan should know about tests of approaches.
extern "C" {

const char* __tsan_default_suppressions();
const char* __tsan_default_options();

// The source's application writes bytes that are just being sent: that is what applications do, and
// why writes are tracked.
const char* __tsan_default_suppressions() {
  return "race:memsync::SocketStream::write_some\n";
}
// A fault is answered in the signal handler of the thread that touched the page: see FaultRepair.
const char* __tsan_default_options() {
  return "report_signal_unsafe=0";
}
}
