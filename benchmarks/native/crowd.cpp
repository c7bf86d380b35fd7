// Many connections that ask nothing, or have asked once: plain TCP and ZMTP 3.0. Linux.
//
//     crowd PORT CONNECTIONS < request
//
// Connects and shakes hands, one after the other, prints "ready", and holds them all. A line on
// standard input, and each asks once and gets its reply; then it prints "asked". The first line of
// standard input is the request. Ends, with resets that leave no port waiting, when it closes.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "zmtp.h"

namespace {

constexpr int patience_s = 20;

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "crowd: %s (%s)\n", what, errno != 0 ? std::strerror(errno) : "no system error");
    std::exit(1);
}

int connected_to(int port) {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail("cannot make a socket");
    timeval patience{};
    patience.tv_sec = patience_s;
    ::setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const linger reset{1, 0};
    ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("cannot connect");
    return descriptor;
}

void send_all(int descriptor, std::string_view text) {
    while (!text.empty()) {
        const ssize_t size = ::send(descriptor, text.data(), text.size(), MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) fail("cannot send");
        text.remove_prefix(static_cast<size_t>(size));
    }
}

void receive_all(int descriptor, char* bytes, size_t size) {
    while (size > 0) {
        const ssize_t some = ::recv(descriptor, bytes, size, 0);
        if (some < 0 && errno == EINTR) continue;
        if (some == 0) errno = 0;
        if (some <= 0) fail("no answer");
        bytes += some;
        size -= static_cast<size_t>(some);
    }
}

// The next frame; returns its flags.
unsigned char receive_frame(int descriptor, std::string& body) {
    char head[zmtp::most_header];
    receive_all(descriptor, head, 2);
    if ((head[0] & zmtp::flag_long) != 0) receive_all(descriptor, head + 2, sizeof head - 2);
    const zmtp::Header header = zmtp::header_of(head, sizeof head);
    body.resize(header.length);
    receive_all(descriptor, body.data(), body.size());
    return header.flags;
}

void shake_hands(int descriptor) {
    send_all(descriptor, zmtp::greeting() + zmtp::ready("DEALER"));
    char greeting[zmtp::greeting_size];
    receive_all(descriptor, greeting, sizeof greeting);
    std::string body;
    errno = 0;
    if (receive_frame(descriptor, body) != zmtp::flag_command || body.substr(0, 6) != "\x05READY") fail("no READY");
}

void ask(int descriptor, const std::string& request) {
    send_all(descriptor, zmtp::enveloped(request));
    std::string body;
    const bool is_enveloped = receive_frame(descriptor, body) == zmtp::flag_more && body.empty();
    errno = 0;
    if (!is_enveloped || (receive_frame(descriptor, body) & ~zmtp::flag_long) != 0) {
        fail("a reply is not an empty frame and one other");
    }
}

void tell(const char* what) {
    std::printf("%s\n", what);
    std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
    const int port = count == 3 ? std::atoi(arguments[1]) : 0;
    const int connections = count == 3 ? std::atoi(arguments[2]) : 0;
    std::string request, line;
    if (port <= 0 || connections <= 0 || !std::getline(std::cin, request) || request.empty()) {
        std::fprintf(stderr, "usage: crowd PORT CONNECTIONS < request\n");
        return 2;
    }
    std::vector<int> all;  // closed by the end of the process
    for (int i = 0; i < connections; ++i) {
        all.push_back(connected_to(port));
        shake_hands(all.back());
    }
    tell("ready");
    while (std::getline(std::cin, line)) {
        for (const int each : all) ask(each, request);
        tell("asked");
    }
}
