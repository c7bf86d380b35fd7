// What the loop itself executes, without the system and a network: for counting instructions.
//
//     instructions scan|get|gets COUNT
//
// scan: the envelope scanner on a typical request. get: the whole loop with its own transport answering
// GETs of two floats over TCP, one at a time; gets: the same, dozens in one receive. One client is connected, but
// what epoll_wait, recv and send say of it is made up here: each epoll_wait tells of bytes, the recv
// after it brings requests, and sends take all they are given. The difference of two runs with different
// counts is what the difference of the counts costs.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "server/loop.h"
#include "transport/tcp_router.h"
#include "zmtp.h"

namespace {

constexpr std::string_view request =
    R"({"from": "bench", "to": "device", "cmd": "GET", "payload": {}, "version": "0.2.2", "error_msg": null, "msg": null})";
constexpr size_t most_at_once = 64;

// ---- the one client

int client = -1;  // as the router has accepted it
void* client_data = nullptr;  // what the router has epoll say of it
std::string handshake, requests;
bool readable = false;
size_t at_once = 1, left = 0;
size_t receives = 0, sends = 0, sent_bytes = 0;

// Whole requests, as many as there are and as there is room for.
size_t size_of_next(size_t room) {
    if (receives == 0) return handshake.size();
    const size_t one = requests.size() / most_at_once;
    const size_t count = std::min({at_once, left, room / one});
    left -= count;
    return count * one;
}

ssize_t take(size_t size) {
    ++sends;
    sent_bytes += size;
    return static_cast<ssize_t>(size);
}

}  // namespace

// In the place of the C library's.
extern "C" {

int epoll_ctl(int epoll, int action, int descriptor, epoll_event* event) noexcept {
    if (descriptor == client && event != nullptr) client_data = event->data.ptr;
    return static_cast<int>(::syscall(SYS_epoll_ctl, epoll, action, descriptor, event));
}

int accept4(int listener, sockaddr* address, socklen_t* size, int flags) {
    const auto accepted = static_cast<int>(::syscall(SYS_accept4, listener, address, size, flags));
    if (accepted >= 0) client = accepted;
    return accepted;
}

int epoll_wait(int epoll, epoll_event* events, int most, int milliseconds) {
    if (client_data == nullptr) return static_cast<int>(::syscall(SYS_epoll_pwait, epoll, events, most, milliseconds, nullptr, 0));
    if (left == 0) {
        errno = EBADF;  // after some of these the loop gives up
        return -1;
    }
    events[0].events = EPOLLIN;
    events[0].data.ptr = client_data;
    readable = true;
    return 1;
}

ssize_t recv(int, void* bytes, size_t room, int) {
    if (!readable) {
        errno = EAGAIN;
        return -1;
    }
    readable = false;
    const char* const text = receives == 0 ? handshake.data() : requests.data();
    const size_t size = size_of_next(room);
    if (size > room) std::abort();
    std::memcpy(bytes, text, size);
    ++receives;
    return static_cast<ssize_t>(size);
}

ssize_t send(int, const void*, size_t size, int) { return take(size); }

ssize_t sendmsg(int, const msghdr* message, int) {
    size_t size = 0;
    for (size_t i = 0; i < message->msg_iovlen; ++i) size += message->msg_iov[i].iov_len;
    return take(size);
}

}  // extern "C"

namespace {

bool connect_to(const std::string& endpoint) {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);  // closed by the end of the process
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(endpoint.c_str() + endpoint.rfind(':') + 1)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return ::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

// ---- the works

laplace::ReplyTemplate get_template() {
    using laplace::ReplyTemplate;
    ReplyTemplate text;
    text.pieces = {{R"({"from":"device","to":)", laplace::Hole::to},
                   {R"(,"cmd":"GET","msg":"Current data.","payload":{"data":)", laplace::Hole::body},
                   {R"(},"version":)", laplace::Hole::version},
                   {R"(,"error_msg":null})", laplace::Hole::none}};
    return text;
}

int answer(size_t count) {
    laplace::Config config;
    laplace::Shared shared(config);
    auto dispatch = std::make_shared<laplace::DispatchTable>();
    dispatch->commands = {{"PING", laplace::Action::ping, 1}, {"INFO", laplace::Action::info, 2}, {"GET", laplace::Action::get, 3}};
    dispatch->accepted_versions = {"0.2.2"};
    dispatch->get = get_template();
    shared.table.set(dispatch);
    bool serves = false;
    const auto data = std::make_shared<const std::string>(R"({"values":[1.5,1.6428571428571428]})");
    shared.documents.replace(laplace::DocumentId::data, data, false, false, serves);

    handshake = zmtp::greeting() + zmtp::ready("DEALER");
    for (size_t i = 0; i < most_at_once; ++i) requests += zmtp::enveloped(request);
    left = count;
    laplace::TcpConnections::Limits limits;
    limits.handshake_ns = UINT64_MAX / 4;
    limits.messages = {size_t{64} << 20, 256};
    laplace::TcpRouter router(limits, laplace::Poller::Kind::best, nullptr, shared.admission, shared.wake_up, shared.counters);
    if (router.open("tcp://127.0.0.1:*") != 0 || !connect_to(router.endpoint())) return 1;
    // Without spinning: how often the clock is read must not depend on the clock.
    laplace::Loop loop(shared, router);
    loop.run();
    const size_t size = sent_bytes / count;
    std::printf("%zu replies of %zu bytes in %zu sends\n", count, size, sends);
    return left == 0 && size > 150 && sends >= count / at_once ? 0 : 1;
}

int scan(size_t count) {
    size_t certain = 0;
    for (size_t i = 0; i < count; ++i) {
        ls_envelope envelope{};
        certain += ls_scan(request.data(), request.size(), &envelope) == LS_CERTAIN;
    }
    std::printf("%zu scans\n", certain);
    return certain == count ? 0 : 1;
}

}  // namespace

int main(int arguments, char** values) {
    const std::string_view work = arguments == 3 ? values[1] : "";
    const size_t count = arguments == 3 ? std::strtoull(values[2], nullptr, 10) : 0;
    if (count == 0 || (work != "scan" && work != "get" && work != "gets")) {
        std::fprintf(stderr, "usage: instructions scan|get|gets COUNT\n");
        return 2;
    }
    if (work == "scan") return scan(count);
    if (work == "gets") at_once = most_at_once;
    return answer(count);
}
