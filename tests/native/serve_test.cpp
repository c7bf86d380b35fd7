// Tests of the whole core without Python, over real TCP: serve_test LIBZMQ_PATH [tcp]. With "tcp", servers
// have that transport alone, and only clients use the library.
// Takes no part of the system for granted but C++17 and the library it is given, so that it runs
// wherever the core has to. Returns 1 if any check failed.

#include "serve_test.h"
#include "support/server_bench.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/interfaces.h"

namespace {

using namespace laplace;
namespace fs = std::filesystem;

// ---- finding the library

// A folder of its own, removed at the end. (Windows keeps files that are loaded.)
class Scratch {
public:
    Scratch() : path(fs::temp_directory_path() / ("serve_test-" + std::to_string(std::random_device{}()))) {
        fs::create_directories(path);
    }
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    const fs::path path;
};

load_status load(const fs::path& path, bool only_loaded, const char** missing = nullptr) {
    return load_zmq(path.u8string().c_str(), only_loaded, missing);
}

// A library carries what it needs in its own folder, unless that is the system's.
fs::path copy_library(const fs::path& library, const fs::path& folder) {
    constexpr std::ptrdiff_t most = 64;
    fs::create_directories(folder);
    const fs::path from = library.parent_path();
    if (std::distance(fs::directory_iterator(from), fs::directory_iterator()) <= most) {
        for (const fs::directory_entry& entry : fs::directory_iterator(from)) {
            if (entry.is_regular_file()) fs::copy_file(entry.path(), folder / entry.path().filename());
        }
    } else {
        fs::copy_file(library, folder / library.filename());
    }
    return folder / library.filename();
}

// A library that every process has and that is no libzmq.
const char* other_library() {
#if defined(_WIN32)
    return "kernel32.dll";
#elif defined(__APPLE__)
    return "/usr/lib/libSystem.B.dylib";
#else
    return "libc.so.6";
#endif
}

void what_cannot_be_loaded(const fs::path& folder, const fs::path& library) {
    CHECK(load(folder / "none.so", false) == load_status::not_found);
    CHECK(load(folder / "none.so", true) == load_status::not_found);
    CHECK(load(folder, false) == load_status::not_found);
    CHECK(load_zmq("\xff\xfe\xfd", false, nullptr) == load_status::not_found);
    const fs::path text = folder / "text.so";
    std::ofstream(text) << "no library\n";
    CHECK(load(text, false) == load_status::not_found);
    CHECK(load(text, true) == load_status::not_found);
    CHECK(load(library, true) == load_status::not_found);  // it is there, but not in this process
    const char* missing = nullptr;
    CHECK(load_zmq(other_library(), true, &missing) == load_status::symbol_missing);
    CHECK(missing != nullptr && std::string_view(missing) == "zmq_version");
    CHECK(load_zmq(other_library(), false, nullptr) != load_status::loaded);  // Windows wants a whole path
    CHECK(zmq_identity() == nullptr);
}

void what_can_be_loaded(const fs::path& library) {
    if (load(library, false) != load_status::loaded) {
        std::printf("no usable libzmq: %s\n", library.u8string().c_str());
        std::exit(1);
    }
    const void* const identity = zmq_identity();
    CHECK(identity != nullptr);
    int major = 0, minor = 0, patch = 0;
    zmq.version(&major, &minor, &patch);
    CHECK(major == 4 && minor >= 2);
    CHECK(load(library, true) == load_status::loaded);
    CHECK(zmq_identity() == identity);
    CHECK(load_zmq(other_library(), true, nullptr) == load_status::symbol_missing);
    CHECK(zmq_identity() == identity);  // a failure leaves the table alone
}

void this_machines_addresses() {
    std::vector<InterfaceAddress> found;
    CHECK(list_interfaces(found) == 0);
    bool has_loopback = false;
    for (const InterfaceAddress& each : found) {
        CHECK(each.address.size() == 4 || each.address.size() == 16);
        CHECK(!each.name.empty());
        if (each.address == std::string("\x7f\0\0\1", 4)) {
            has_loopback = true;
            CHECK(each.running && each.loopback);
        }
    }
    CHECK(has_loopback);
}

}  // namespace

int main(int arguments, char** values) {
    const bool tcp_alone = arguments == 3 && std::string_view(values[2]) == "tcp";
    if (arguments != 2 && !tcp_alone) {
        std::fprintf(stderr, "usage: serve_test LIBZMQ_PATH [tcp]\n");
        return 2;
    }
    std::vector<TransportKind> transports{TransportKind::tcp};
    if (!tcp_alone) transports.insert(transports.begin(), TransportKind::libzmq);
    CHECK(watch_forks() && fork_count() == 0);
    this_machines_addresses();
    const fs::path library = fs::absolute(values[1]).make_preferred();
    const Scratch scratch;
    what_cannot_be_loaded(scratch.path, library);
    // Names of people and labs are not all ASCII.
    what_can_be_loaded(copy_library(library, scratch.path / fs::u8path("caf\xc3\xa9 \xe6\xb8\xac\xe5\xae\x9a")));
    for (const TransportKind transport : transports) {
        server_bench::transport = transport;
        const server_bench::Context context;
        const server_bench::Running running;
        CHECK(server_bench::answers(context, running.server->endpoint()));
    }
    what_can_be_loaded(library);
    for (const TransportKind transport : transports) {
        server_bench::transport = transport;
        std::fprintf(stderr, "over %s\n", transport == TransportKind::tcp ? "tcp" : "libzmq");
        lives_and_ends();
        answers_clients();
    }
    return checks::status();
}
