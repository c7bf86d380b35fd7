// The load generator: ZMTP 3.0 over plain TCP from one thread, without libzmq and without Python,
// so that what it measures is the server. Linux (epoll, timerfd). ZMTP: https://rfc.zeromq.org/spec/23
//
//     load PORT CONNECTIONS IN_FLIGHT SECONDS RATE CHECK < request
//
// Closed loop (RATE 0): every connection keeps IN_FLIGHT requests under way. Open loop: RATE requests
// a second, over the connections in turn, each timed from the moment it was due, so a stalled server
// is charged for the requests it kept from being sent (no coordinated omission).
// CHECK "same": every reply must be the first byte for byte. CHECK "like": it must agree with the
// first up to the first digit or sign and be no error ("error_msg":null); for data that changes.
//
// Prints the first reply, then a line of JSON: the replies counted (after a tenth of the time to warm
// up), latencies in us, all replies, and the CPU time of this program.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "zmtp.h"

namespace {

constexpr int patience_s = 20;

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "load: %s (%s)\n", what, errno != 0 ? std::strerror(errno) : "no system error");
    std::exit(1);
}

uint64_t now_ns() {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

// ---- what a reply must look like

class Check {
public:
    explicit Check(bool same) : same_(same) {}
    void operator()(std::string_view reply) {
        if (first_.empty()) {
            first_ = reply;
            alike_ = first_.substr(0, first_.find_first_of("-0123456789"));
            no_error_ = first_.find("\"error_msg\": null") != std::string::npos ? "\"error_msg\": null" : "\"error_msg\":null";
        }
        errno = 0;
        if (same_) {
            if (reply != first_) fail("a reply differs from the first");
        } else if (reply.substr(0, alike_.size()) != alike_ || reply.find(no_error_) == std::string_view::npos) {
            fail("a reply is not like the first");
        }
    }
    const std::string& first() const { return first_; }

private:
    const bool same_;
    std::string first_, alike_, no_error_;
};

// ---- a connection

class Connection {
public:
    explicit Connection(int port) : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        if (descriptor_ < 0) fail("cannot make a socket");
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("cannot connect");
        const int on = 1;
        ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        timeval patience{};
        patience.tv_sec = patience_s;
        ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        greet();
    }
    ~Connection() { ::close(descriptor_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    int descriptor() const { return descriptor_; }
    void put(std::string_view message, uint64_t due) {
        unsent_.append(message);
        due_.push_back(due);
    }
    // Sends what the system takes; false: there is more.
    bool flush() {
        while (sent_ < unsent_.size()) {
            const ssize_t size = ::send(descriptor_, unsent_.data() + sent_, unsent_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (size < 0 && errno == EINTR) continue;
            if (size < 0 && errno == EAGAIN) return false;
            if (size < 0) fail("cannot send");
            sent_ += static_cast<size_t>(size);
        }
        unsent_.clear();
        sent_ = 0;
        return true;
    }
    // Receives once; calls `found(reply, due)` for each whole message. 0 where nothing came.
    template <typename Found>
    size_t receive(bool block, Found found) {
        if (!read_some(block)) return 0;
        size_t count = 0;
        std::string_view body;
        bool more = false;
        while (next_frame(body, more)) {
            if (more || body.empty()) {
                if (!more || !body.empty()) fail("a reply is not an empty frame and one other");
                continue;
            }
            if (due_.empty()) fail("a reply to no request");
            const uint64_t due = due_.front();
            due_.pop_front();
            found(body, due);
            ++count;
        }
        if (start_ == end_) start_ = end_ = 0;
        return count;
    }

private:
    void greet() {
        const std::string hello = zmtp::greeting() + zmtp::ready("DEALER");
        if (::send(descriptor_, hello.data(), hello.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(hello.size())) fail("cannot greet");
        while (end_ < zmtp::greeting_size) {
            if (!read_some(true)) fail("no greeting");
        }
        start_ = zmtp::greeting_size;
        while (!ready_) {
            std::string_view body;
            bool more = false;
            if (next_frame(body, more)) fail("a message before READY");
            if (!ready_ && !read_some(true)) fail("no READY");
        }
    }

    bool read_some(bool block) {
        if (start_ > 0) {
            std::memmove(buffer_.data(), buffer_.data() + start_, end_ - start_);
            end_ -= start_;
            start_ = 0;
        }
        if (buffer_.size() - end_ < 8192) buffer_.resize(2 * buffer_.size());
        for (;;) {
            const ssize_t size = ::recv(descriptor_, buffer_.data() + end_, buffer_.size() - end_, block ? 0 : MSG_DONTWAIT);
            if (size > 0) {
                end_ += static_cast<size_t>(size);
                return true;
            }
            if (size == 0) errno = 0, fail("the server closed a connection");
            if (errno == EINTR) continue;
            if (errno == EAGAIN && !block) return false;
            fail("no reply");
        }
    }

    // The next whole frame of a message; commands are passed over.
    bool next_frame(std::string_view& body, bool& more) {
        for (;;) {
            const size_t size = end_ - start_;
            const zmtp::Header header = zmtp::header_of(buffer_.data() + start_, size);
            if (header.size == 0 || size - header.size < header.length) return false;
            body = {buffer_.data() + start_ + header.size, header.length};
            start_ += header.size + header.length;
            if ((header.flags & zmtp::flag_command) != 0) {
                if (body.substr(0, 6) != "\x05READY") fail("a command that is not READY");
                ready_ = true;
                return false;
            }
            more = (header.flags & zmtp::flag_more) != 0;
            return true;
        }
    }

    const int descriptor_;
    bool ready_ = false;
    std::vector<char> buffer_ = std::vector<char>(1 << 16);
    size_t start_ = 0, end_ = 0;
    std::string unsent_;
    size_t sent_ = 0;
    std::deque<uint64_t> due_;  // of the requests under way; replies come in their order
};

// ---- the run

struct Settings {
    int port, connections, in_flight;
    double seconds, rate;
};

class Run {
public:
    Run(const Settings& settings, const std::string& request, bool same)
        : settings_(settings), message_(zmtp::enveloped(request)), check_(same) {
        for (int i = 0; i < settings.connections; ++i) connections_.push_back(std::make_unique<Connection>(settings.port));
        took_.resize(size_t{1} << 22);  // touched now, not while it counts
        took_.clear();
        Connection& first = *connections_.front();
        first.put(message_, now_ns());
        first.flush();
        while (receive(first, true) == 0) {
        }
        took_.clear();
    }

    void run() {
        const auto for_ns = static_cast<uint64_t>(settings_.seconds * 1e9);
        begin_ = now_ns() + for_ns / 10;  // before that, all warm up
        end_ = begin_ + for_ns;
        if (settings_.rate > 0) {
            open_loop();
        } else if (settings_.connections == 1) {
            lockstep();
        } else {
            closed_loop();
        }
    }

    void print() {
        errno = 0;
        if (took_.empty()) fail("nothing was answered in time");
        const double seconds = static_cast<double>(end_ - begin_) / 1e9;
        double sum = 0;
        for (const uint64_t ns : took_) sum += static_cast<double>(ns);
        std::sort(took_.begin(), took_.end());
        const auto at = [this](double q) {
            const auto place = static_cast<size_t>(q * static_cast<double>(took_.size()));
            return static_cast<double>(took_[std::min(took_.size() - 1, place)]) / 1e3;
        };
        rusage usage{};
        ::getrusage(RUSAGE_SELF, &usage);
        const double cpu = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                           static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
        std::printf("%s\n", check_.first().c_str());
        std::printf("{\"replies\": %zu, \"seconds\": %.6f, \"mean_us\": %.2f, \"p50_us\": %.2f, \"p99_us\": %.2f, "
                    "\"p999_us\": %.2f, \"max_us\": %.2f, \"total\": %zu, \"unanswered\": %zu, \"cpu_s\": %.3f}\n",
                    took_.size(), seconds, sum / static_cast<double>(took_.size()) / 1e3, at(0.50), at(0.99), at(0.999),
                    at(1.0), total_, unanswered_, cpu);
    }

private:
    size_t receive(Connection& connection, bool block) {
        uint64_t now = 0;
        return connection.receive(block, [this, &now](std::string_view reply, uint64_t due) {
            check_(reply);
            if (now == 0) now = now_ns();
            // Closed loop: what was answered in the time. Open loop: what was due in it.
            const uint64_t counted = settings_.rate > 0 ? due : now;
            ++total_;
            if (counted >= begin_ && counted < end_) took_.push_back(now - due);
        });
    }

    void lockstep() {
        Connection& connection = *connections_.front();
        for (int i = 0; i < settings_.in_flight; ++i) connection.put(message_, now_ns());
        connection.flush();
        for (uint64_t now = now_ns(); now < end_;) {
            const size_t count = receive(connection, true);
            now = now_ns();
            for (size_t i = 0; i < count; ++i) connection.put(message_, now);
            connection.flush();
        }
    }

    void closed_loop() {
        watch_all();
        for (auto& connection : connections_) {
            for (int i = 0; i < settings_.in_flight; ++i) connection->put(message_, now_ns());
            connection->flush();
        }
        while (now_ns() < end_) {
            for (const epoll_event& event : wait()) {
                auto& connection = *static_cast<Connection*>(event.data.ptr);
                const size_t count = receive(connection, false);
                const uint64_t now = now_ns();
                for (size_t i = 0; i < count; ++i) connection.put(message_, now);
                connection.flush();
            }
        }
    }

    void open_loop() {
        watch_all();
        const int timer = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        if (timer < 0) fail("cannot make a timer");
        watch(timer, nullptr);
        const double between = 1e9 / settings_.rate;
        const uint64_t start = now_ns();
        const auto due_of = [start, between](uint64_t number) {
            return start + static_cast<uint64_t>(static_cast<double>(number) * between);
        };
        uint64_t number = 0;
        size_t under_way = 0;
        const uint64_t give_up = end_ + uint64_t{patience_s} * 1000000000;
        while (due_of(number) < end_ || under_way > 0) {
            const uint64_t now = now_ns();
            if (now > give_up) break;
            for (; due_of(number) <= now && due_of(number) < end_; ++number) {
                Connection& connection = *connections_[number % connections_.size()];
                connection.put(message_, due_of(number));
                connection.flush();
                ++under_way;
            }
            itimerspec until{};
            const uint64_t due = std::max(due_of(number), now + 1);
            until.it_value.tv_sec = static_cast<time_t>(due / 1000000000);
            until.it_value.tv_nsec = static_cast<long>(due % 1000000000);
            if (due_of(number) < end_) ::timerfd_settime(timer, TFD_TIMER_ABSTIME, &until, nullptr);
            for (const epoll_event& event : wait()) {
                if (event.data.ptr == nullptr) {
                    uint64_t expirations = 0;
                    if (::read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN) fail("timer");
                    continue;
                }
                auto& connection = *static_cast<Connection*>(event.data.ptr);
                under_way -= receive(connection, false);
                connection.flush();
            }
        }
        unanswered_ = under_way;
        ::close(timer);
    }

    void watch(int descriptor, void* who) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = who;
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("cannot watch");
    }
    void watch_all() {
        epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ < 0) fail("cannot make an epoll");
        for (auto& connection : connections_) watch(connection->descriptor(), connection.get());
        events_.resize(connections_.size() + 1);
    }
    // Those with something to read. A request that the system did not take yet goes on with the next reply.
    struct Events {
        const epoll_event *first, *last;
        const epoll_event* begin() const { return first; }
        const epoll_event* end() const { return last; }
    };
    Events wait() {
        for (;;) {
            const int count = ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 1000 * patience_s);
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) fail("cannot wait");
            if (count == 0) errno = 0, fail("no reply");
            return {events_.data(), events_.data() + count};
        }
    }

    const Settings settings_;
    const std::string message_;
    Check check_;
    std::vector<std::unique_ptr<Connection>> connections_;
    std::vector<uint64_t> took_;
    uint64_t begin_ = 0, end_ = UINT64_MAX;
    size_t total_ = 0, unanswered_ = 0;
    int epoll_ = -1;
    std::vector<epoll_event> events_;
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 7) {
        std::fprintf(stderr, "usage: load PORT CONNECTIONS IN_FLIGHT SECONDS RATE same|like < request\n");
        return 2;
    }
    const Settings settings{std::atoi(arguments[1]), std::atoi(arguments[2]), std::atoi(arguments[3]), std::atof(arguments[4]),
                            std::atof(arguments[5])};
    const std::string request{std::istreambuf_iterator<char>(std::cin), {}};
    if (settings.port <= 0 || settings.connections <= 0 || settings.in_flight <= 0 || settings.seconds <= 0 || request.empty()) {
        std::fprintf(stderr, "load: a number is not above 0, or there is no request\n");
        return 2;
    }
    Run run(settings, request, std::string_view(arguments[6]) == "same");
    run.run();
    run.print();
    return 0;
}
