// A lean client for the benchmarks: one REQ socket in lockstep, without Python.
//
//     lockstep LIBZMQ ADDRESS SECONDS < request
//
// Every reply must be the first one byte for byte; the caller has looked at that one, which is
// printed. Then a line of JSON: reads, seconds, p50_us, p99_us, max_us.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "zmq_api.h"

using laplace::zmq;

namespace {

constexpr int ZMQ_REQ = 3;

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "lockstep: %s (errno %d)\n", what, zmq.errno_ ? zmq.errno_() : 0);
    std::exit(1);
}

std::string exchange(void* socket, const std::string& request, laplace::zmq_msg& reply) {
    if (zmq.send(socket, request.data(), request.size(), 0) < 0) fail("cannot send");
    if (zmq.msg_recv(&reply, socket, 0) < 0) fail("no reply");
    return {static_cast<const char*>(zmq.msg_data(&reply)), zmq.msg_size(&reply)};
}

}  // namespace

int main(int count, char** arguments) {
    using clock = std::chrono::steady_clock;
    if (count != 4) fail("usage: lockstep LIBZMQ ADDRESS SECONDS < request");
    if (laplace::load_zmq(arguments[1], false, nullptr) != laplace::load_status::loaded) {
        fail("cannot load libzmq");
    }
    const std::string request{std::istreambuf_iterator<char>(std::cin), {}};
    void* context = zmq.ctx_new();
    void* socket = zmq.socket(context, ZMQ_REQ);
    const int timeout_ms = 5000, linger = 0;
    zmq.setsockopt(socket, laplace::ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq.setsockopt(socket, laplace::ZMQ_LINGER, &linger, sizeof linger);
    if (zmq.connect(socket, arguments[2]) != 0) fail("cannot connect");
    laplace::zmq_msg reply;
    zmq.msg_init(&reply);
    const std::string first = exchange(socket, request, reply);
    std::printf("%s\n", first.c_str());

    std::vector<double> took;
    took.reserve(1 << 20);
    const auto start = clock::now();
    const auto end = start + std::chrono::duration<double>(std::atof(arguments[3]));
    auto asked = start;
    while (asked < end) {
        if (zmq.send(socket, request.data(), request.size(), 0) < 0) fail("cannot send");
        if (zmq.msg_recv(&reply, socket, 0) < 0) fail("no reply");
        const auto answered = clock::now();
        if (zmq.msg_size(&reply) != first.size() ||
            std::memcmp(zmq.msg_data(&reply), first.data(), first.size()) != 0) {
            fail("a reply differs from the first");
        }
        took.push_back(std::chrono::duration<double>(answered - asked).count());
        asked = answered;
    }
    const double seconds = std::chrono::duration<double>(asked - start).count();
    std::sort(took.begin(), took.end());
    const auto at = [&took](double q) {
        return 1e6 * took[std::min(took.size() - 1, static_cast<size_t>(q * static_cast<double>(took.size())))];
    };
    std::printf("{\"reads\": %zu, \"seconds\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f}\n",
                took.size(), seconds, at(0.50), at(0.99), took.back() * 1e6);
    zmq.msg_close(&reply);
    zmq.close(socket);
    zmq.ctx_term(context);
    return 0;
}
