// Clients with a key that the server does not know: so many a second connect over CURVE, go through the whole
// handshake, are refused, and leave.
//
//     strangers LIBSODIUM PORT SERVER_KEY RATE      the server's public key in hex
//
// Prints "ready" when the first was refused; ends when its standard input closes, and prints how many were
// refused, and the seconds that took, as JSON.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "crypto/keys.h"
#include "crypto/sodium.h"
#include "zmtp/curve_client.h"
#include "zmtp/curve_reader.h"

using namespace laplace;

namespace {

constexpr int most_at_once = 1000;

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "strangers: %s (%s)\n", what, std::strerror(errno));
    std::_Exit(1);
}

double now_s() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Stranger {
public:
    Stranger(int port, const crypto::KeyPair& own, const crypto::PublicKey& server)
        : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)),
          client_(own, server, zmtp::SocketType::req) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<uint16_t>(port));
        if (descriptor_ < 0) fail("no socket");
        const int result = ::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
        if (result != 0 && errno != EINPROGRESS) fail("cannot connect");
    }
    ~Stranger() { ::close(descriptor_); }
    Stranger(const Stranger&) = delete;
    Stranger& operator=(const Stranger&) = delete;

    int descriptor() const { return descriptor_; }
    bool was_refused() const { return client_.fault() == zmtp::CurveFault::refused_by_peer; }

    // What can be done now. False: it is over.
    bool go_on() {
        if (!begun_) {
            char hello[zmtp::max_curve_hello];
            const zmtp::CurveStep step = client_.begin(hello);
            std::string words(zmtp::curve_greeting(false));
            words.append(hello, step.to_send);
            begun_ = true;
            if (!say(words.data(), words.size())) return false;
        }
        char room[4096];
        for (;;) {
            const ssize_t size = ::recv(descriptor_, room, sizeof room, 0);
            if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
            if (size <= 0) return false;
            const auto skipped = std::min<size_t>(greeting_left_, static_cast<size_t>(size));
            greeting_left_ -= skipped;
            char* at = room + skipped;
            for (char* const end = room + size;;) {
                const zmtp::CurveReader::Event event = reader_.next(at, end);
                if (event == zmtp::CurveReader::Event::need_more) break;
                if (event != zmtp::CurveReader::Event::command) return false;
                char out[zmtp::max_curve_initiate];
                const zmtp::CurveStep step = client_.hear(reader_.command(), reader_.command_size(), out);
                if (step.event != zmtp::CurveEvent::answer || !say(out, step.to_send)) return false;
            }
        }
    }

private:
    // So little always goes at once.
    bool say(const char* words, size_t size) {
        return ::send(descriptor_, words, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
    }

    const int descriptor_;
    zmtp::CurveClient client_;
    zmtp::CurveReader reader_{4096};
    size_t greeting_left_ = zmtp::greeting_size;
    bool begun_ = false;
};

// False: standard input has ended.
bool may_go_on() {
    pollfd input{0, POLLIN, 0};
    char byte;
    return ::poll(&input, 1, 0) == 0 || ::read(0, &byte, 1) > 0;
}

void run(int port, const crypto::KeyPair& own, const crypto::PublicKey& server, double rate) {
    const int set = ::epoll_create1(0);
    if (set < 0) fail("no epoll");
    long refused = 0;
    int there = 0;
    const double begin = now_s();
    double due = begin;
    while (may_go_on()) {
        for (double now = now_s(); due <= now; due += 1 / rate) {
            if (there == most_at_once) {
                due = now + 1 / rate;  // the server is too slow; nobody waits in vain for ever
                break;
            }
            auto* const stranger = new Stranger(port, own, server);
            epoll_event wanted{};
            wanted.events = EPOLLIN | EPOLLOUT | EPOLLET;
            wanted.data.ptr = stranger;
            if (::epoll_ctl(set, EPOLL_CTL_ADD, stranger->descriptor(), &wanted) != 0) fail("cannot watch");
            ++there;
        }
        epoll_event events[64];
        const int count = ::epoll_wait(set, events, 64, std::max(0, static_cast<int>(1000 * (due - now_s()))));
        for (int i = 0; i < count; ++i) {
            auto* const stranger = static_cast<Stranger*>(events[i].data.ptr);
            if ((events[i].events & (EPOLLOUT | EPOLLIN)) != 0 && stranger->go_on()) continue;
            if (stranger->was_refused() && ++refused == 1) {
                std::printf("ready\n");
                std::fflush(stdout);
            }
            delete stranger;
            --there;
        }
    }
    std::printf("{\"refused\": %ld, \"seconds\": %.6f}\n", refused, now_s() - begin);
    std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) {
        std::fprintf(stderr, "usage: strangers LIBSODIUM PORT SERVER_KEY RATE\n");
        return 1;
    }
    void* const library = ::dlopen(arguments[1], RTLD_NOW);
    if (library == nullptr || crypto::load_sodium(::dlsym, library, nullptr) != crypto::SodiumStatus::loaded)
        fail("no libsodium");
    crypto::KeyPair own;
    crypto::PublicKey server;
    const std::string key = arguments[3];
    if (key.size() != 2 * crypto::key_size || !crypto::make_keys(own)) fail("no keys");
    for (size_t i = 0; i < crypto::key_size; ++i)
        server.bytes[i] = static_cast<unsigned char>(std::stoul(key.substr(2 * i, 2), nullptr, 16));
    run(std::atoi(arguments[2]), own, server, std::atof(arguments[4]));
    std::_Exit(0);
}
