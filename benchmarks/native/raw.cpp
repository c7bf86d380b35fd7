// The limit: plain TCP, one thread, epoll, and just enough ZMTP 3.0 for the load generator and for REQ.
//
//     raw FILE       prints its port, ends when its standard input closes
//
// Every request is answered with the bytes in FILE, which stand ready as they go over the wire, as
// often in a row as one send can use. It looks at nothing but the headers of frames, to know where a
// request ends. What one recv brought is answered by one send.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "zmtp.h"

namespace {

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "raw: %s (%s)\n", what, std::strerror(errno));
    std::exit(1);
}

struct Replies {
    std::string bytes;  // one or more alike, end to end
    size_t size;        // of one
};

Replies replies_of(const std::string& text) {
    const std::string one = zmtp::enveloped(text);
    std::string all = one;
    while (all.size() + one.size() <= 64 * 1024) all += one;
    return {all, one.size()};
}

class Connection {
public:
    explicit Connection(int descriptor) : descriptor_(descriptor) {}
    ~Connection() { ::close(descriptor_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    int descriptor() const { return descriptor_; }
    bool writes() const { return unsent_ > 0; }
    // False: it is to be closed.
    bool say(const std::string& text) {
        return ::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(text.size());
    }
    bool receive(std::vector<char>& buffer, const Replies& replies) {
        const ssize_t size = ::recv(descriptor_, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size == 0) return false;
        if (size < 0) return errno == EAGAIN || errno == EINTR;
        const char* at = buffer.data();
        const char* const end = at + size;
        if (greeting_left_ > 0) {
            const size_t some = std::min(greeting_left_, static_cast<size_t>(size));
            at += some;
            greeting_left_ -= some;
            if (greeting_left_ == 0 && !say(zmtp::ready("ROUTER"))) return false;
        }
        const bool waits = writes();
        unsent_ += requests_in(at, end) * replies.size;
        return waits || send(replies);
    }
    bool send(const Replies& replies) {
        while (unsent_ > 0) {
            // The end of `bytes` is the end of a reply, so where a reply stands in it follows from what is unsent.
            const size_t part = (unsent_ - 1) % replies.size + 1;  // of the one that is under way
            const size_t most = replies.bytes.size() - (replies.size - part);
            const char* const from = replies.bytes.data() + (replies.size - part);
            const ssize_t size = ::send(descriptor_, from, std::min(unsent_, most), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (size < 0) return errno == EAGAIN || errno == EINTR;
            unsent_ -= static_cast<size_t>(size);
        }
        return true;
    }

private:
    size_t requests_in(const char* at, const char* end) {
        size_t count = 0;
        while (at < end) {
            if (body_left_ > 0) {
                const auto some = static_cast<size_t>(std::min<uint64_t>(body_left_, static_cast<uint64_t>(end - at)));
                at += some;
                body_left_ -= some;
            } else {
                const zmtp::Header header = next_header(at, end);
                if (header.size == 0) break;
                body_left_ = header.length;
                ends_request_ = (header.flags & (zmtp::flag_more | zmtp::flag_command)) == 0;
            }
            if (body_left_ == 0 && ends_request_) ++count;
        }
        return count;
    }
    zmtp::Header next_header(const char*& at, const char* end) {
        const auto there = static_cast<size_t>(end - at);
        if (held_ == 0) {
            const zmtp::Header header = zmtp::header_of(at, there);
            if (header.size == 0) std::memcpy(head_, at, held_ = there);  // fewer than nine
            at += header.size == 0 ? there : header.size;
            return header;
        }
        while (at < end) {
            head_[held_++] = *at++;
            const zmtp::Header header = zmtp::header_of(head_, held_);
            if (header.size > 0) {
                held_ = 0;
                return header;
            }
        }
        return {};
    }

    const int descriptor_;
    bool ends_request_ = false;
    char head_[zmtp::most_header];  // of a header that came in pieces
    size_t held_ = 0;
    size_t greeting_left_ = zmtp::greeting_size;
    uint64_t body_left_ = 0;
    size_t unsent_ = 0;
};

int listen_on_any_port(int& port) {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (descriptor < 0 || ::bind(descriptor, any, size) != 0 || ::listen(descriptor, SOMAXCONN) != 0 ||
        ::getsockname(descriptor, any, &size) != 0) {
        fail("cannot listen");
    }
    port = ntohs(address.sin_port);
    return descriptor;
}

class Responder {
public:
    Responder(int listener, const std::string& reply) : replies_(replies_of(reply)), listener_(listener) {
        if (epoll_ < 0) fail("cannot make an epoll");
        watch(EPOLL_CTL_ADD, listener, EPOLLIN, nullptr);
    }
    [[noreturn]] void run() {
        for (;;) {
            const int count = ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), -1);
            if (count < 0 && errno != EINTR) fail("cannot wait");
            for (int i = 0; i < count; ++i) serve(events_[static_cast<size_t>(i)]);
        }
    }

private:
    void serve(const epoll_event& event) {
        auto* const connection = static_cast<Connection*>(event.data.ptr);
        if (connection == nullptr) return accept();
        const bool wrote = connection->writes();
        bool stays = true;
        if ((event.events & EPOLLOUT) != 0) stays = connection->send(replies_);
        if (stays && (event.events & ~uint32_t{EPOLLOUT}) != 0) stays = connection->receive(buffer_, replies_);
        if (!stays) {
            delete connection;
        } else if (connection->writes() != wrote) {
            // Who does not read is not read from either.
            watch(EPOLL_CTL_MOD, connection->descriptor(), connection->writes() ? EPOLLOUT : EPOLLIN, connection);
        }
    }
    void accept() {
        const int descriptor = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (descriptor < 0) fail("cannot accept");
        const int on = 1;
        ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        auto* const connection = new Connection(descriptor);  // its own, until it is closed
        watch(EPOLL_CTL_ADD, descriptor, EPOLLIN, connection);
        if (!connection->say(zmtp::greeting())) delete connection;
    }
    void watch(int action, int descriptor, uint32_t events, Connection* who) {
        epoll_event event{};
        event.events = events;
        event.data.ptr = who;
        if (::epoll_ctl(epoll_, action, descriptor, &event) != 0) fail("cannot watch");
    }

    const Replies replies_;
    const int listener_;
    const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    std::vector<epoll_event> events_ = std::vector<epoll_event>(256);
    std::vector<char> buffer_ = std::vector<char>(64 * 1024);
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) {
        std::fprintf(stderr, "usage: raw FILE\n");
        return 2;
    }
    std::ifstream file(arguments[1], std::ios::binary);
    const std::string reply{std::istreambuf_iterator<char>(file), {}};
    if (reply.empty()) fail("there is no reply");
    int port = 0;
    const int listener = listen_on_any_port(port);
    std::printf("%d\n", port);
    std::fflush(stdout);
    std::thread([] {
        while (std::getchar() != EOF) {
        }
        std::_Exit(0);
    }).detach();
    Responder(listener, reply).run();
}
