// Tests of listening sockets, their options and descriptors, over the loopback interface. Returns 1 if any
// failed.
//
// With numbers as arguments it says nothing and returns how many of these descriptors are open.

#include "tcp/network.h"
#include "tcp/poller.h"
#include "tcp/wake_descriptor.h"
#include "support/checks.h"
#include "support/tcp_peer.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#ifndef _WIN32
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

using laplace::AcceptError;
using laplace::Address;
using laplace::Descriptor;
using laplace::Interest;
using laplace::IoState;
using tcp_peer::Connection;
using tcp_peer::Listener;
using tcp_peer::receive_one;

// ---- connections

void connections_are_accepted() {
    const Listener listener;
    CHECK(listener.address.port() != 0);
    CHECK(listener.bound == "tcp://127.0.0.1:" + std::to_string(listener.address.port()));
    Descriptor none = laplace::no_descriptor;
    Address address;
    const int error = laplace::accept_connection(listener.descriptor, none, address);
    CHECK(laplace::classify_accept_error(error) == AcceptError::none_waiting);
    CHECK(none == laplace::no_descriptor);

    Connection first(listener), second(listener);
    Address own;
    CHECK(laplace::local_address(first.peer, own) == 0);
    CHECK(own.port() == first.address.port() && own.host_key() == first.address.host_key());
    CHECK(std::string(first.address.host_text().text) == "127.0.0.1");
    CHECK(laplace::local_address(first.server, own) == 0 && own.port() == listener.address.port());
    CHECK(first.address.port() != second.address.port());
    CHECK(receive_one(first.server).state == IoState::would_block);
    first.send("one");
    second.send("two");
    CHECK(second.served(3) == "two");
    CHECK(first.served(3) == "one");
    CHECK(laplace::send_bytes(first.server, "1", 1).bytes == 1);
    CHECK(first.receive(1) == "1");
}

void both_protocols_are_accepted() {
    Descriptor probe = laplace::no_descriptor;
    std::string bound;
    if (laplace::open_listener("tcp://[::1]:*", 1, 0, probe, bound) != 0) return;  // no IPv6 here
    laplace::close_socket(probe);
    const Listener listener("tcp://[*]:*");
    CHECK(listener.address.is_ipv6() && listener.bound.rfind("tcp://[::]:", 0) == 0);
    const Listener ipv4, ipv6("tcp://[::1]:*");
    Address to = ipv6.address;
    to.set_port(listener.address.port());
    const Connection six(listener, to);
    CHECK(std::string(six.address.host_text().text) == "::1");
    to = ipv4.address;
    to.set_port(listener.address.port());
    const Connection four(listener, to);
    CHECK(four.address.is_ipv6());
    // One machine is one machine, by whichever listener it comes.
    CHECK(four.address.host_key() == Connection(ipv4).address.host_key());
    CHECK(four.address.host_key() != six.address.host_key());
}

void a_port_has_one_owner() {
    Listener first;
    Descriptor second = laplace::no_descriptor;
    CHECK(laplace::open_listening_socket(first.address, 100, 0, second) == EADDRINUSE);
    CHECK(second == laplace::no_descriptor);
}

// Although connections to it are not quite gone.
void a_port_is_free_at_once() {
    Address address;
    for (int i = 0; i < 3; ++i) {
        Descriptor listening = laplace::no_descriptor, accepted = laplace::no_descriptor;
        if (i == 0) {
            std::string bound;
            CHECK(laplace::open_listener("tcp://127.0.0.1:*", 100, 0, listening, bound) == 0);
            CHECK(laplace::local_address(listening, address) == 0);
        } else {
            CHECK(laplace::open_listening_socket(address, 100, 0, listening) == 0);
        }
        const Descriptor peer = tcp_peer::connect_to(address);
        tcp_peer::wait_for(listening, Interest::read);
        Address from;
        CHECK(laplace::accept_connection(listening, accepted, from) == 0);
        laplace::close_socket(accepted);  // first, so that the server's end has to wait
        char byte;
        CHECK(laplace::receive_bytes(peer, &byte, 1).state == IoState::closed);
        laplace::close_socket(peer);
        laplace::close_socket(listening);
    }
}

void errors_of_accept_are_told_apart() {
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
        CHECK(laplace::classify_accept_error(error) == AcceptError::out_of_resources);
    }
    for (const int error : {ECONNABORTED, EPROTO, EINTR, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENETDOWN, EPERM}) {
        CHECK(laplace::classify_accept_error(error) == AcceptError::try_again);
    }
    for (const int error : {EBADF, EINVAL, ENOTSOCK}) {
        CHECK(laplace::classify_accept_error(error) == AcceptError::failed);
    }
    CHECK(laplace::classify_accept_error(EAGAIN) == AcceptError::none_waiting);
}

void what_is_no_listener_is_an_error() {
    const Listener listener;
    Connection connection(listener);
    Descriptor accepted = laplace::no_descriptor;
    Address address;
    const int error = laplace::accept_connection(connection.server, accepted, address);
    CHECK(laplace::classify_accept_error(error) == AcceptError::failed);
    CHECK(laplace::local_address(laplace::no_descriptor, address) != 0);
    CHECK(laplace::set_no_delay(laplace::no_descriptor) != 0);
    CHECK(laplace::open_listening_socket(Address(), 100, 0, accepted) == EINVAL);
    CHECK(accepted == laplace::no_descriptor);
}

// ---- options

int option_of(Descriptor socket, int level, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    tcp_peer::must(getsockopt(socket, level, option, reinterpret_cast<char*>(&value), &size) == 0);
    return value;
}

void options_are_set() {
    constexpr int send_buffer = 100000;
    const Listener listener("tcp://127.0.0.1:*", send_buffer);
    const Connection connection(listener);
    CHECK(laplace::set_no_delay(connection.server) == 0);
    CHECK(laplace::set_keepalive(connection.server, laplace::usual_keepalive) == 0);
    CHECK(option_of(connection.server, SOL_SOCKET, SO_SNDBUF) >= send_buffer);
    CHECK(option_of(connection.server, SOL_SOCKET, SO_SNDBUF) <= 2 * send_buffer);
    CHECK(option_of(connection.server, IPPROTO_TCP, TCP_NODELAY) != 0);
#ifdef __linux__
    CHECK(option_of(connection.server, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option_of(connection.server, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
    CHECK(option_of(connection.server, IPPROTO_TCP, TCP_KEEPINTVL) == 10);
    CHECK(option_of(connection.server, IPPROTO_TCP, TCP_KEEPCNT) == 3);
    CHECK(option_of(connection.server, IPPROTO_TCP, TCP_USER_TIMEOUT) == 60000);
#endif
}

#ifndef _WIN32

// ---- descriptors

std::string program;

// How many of them a program has that is started from this one.
int inherited(const std::vector<Descriptor>& descriptors) {
    std::vector<std::string> texts{program};
    for (const Descriptor each : descriptors) texts.push_back(std::to_string(each));
    std::vector<char*> arguments;
    for (std::string& text : texts) arguments.push_back(text.data());
    arguments.push_back(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        execv(program.c_str(), arguments.data());
        _exit(99);
    }
    int status = 0;
    tcp_peer::must(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

int open_ones(int count, char** numbers) {
    int open = 0;
    for (int i = 0; i < count; ++i) open += fcntl(std::atoi(numbers[i]), F_GETFD) >= 0;
    return open;
}

// What the process has open, by number.
std::vector<Descriptor> open_descriptors() {
    std::vector<Descriptor> open;
    for (Descriptor each = 3; each < 256; ++each) {
        if (fcntl(each, F_GETFD) >= 0) open.push_back(each);
    }
    return open;
}

void no_started_program_gets_any() {
    const size_t before = open_descriptors().size();
    const Listener listener;
    Descriptor accepted = laplace::no_descriptor;
    const Descriptor peer = tcp_peer::connect_to(listener.address);
    tcp_peer::must(fcntl(peer, F_SETFD, FD_CLOEXEC) == 0);
    tcp_peer::wait_for(listener.descriptor, Interest::read);
    Address address;
    CHECK(laplace::accept_connection(listener.descriptor, accepted, address) == 0);
    laplace::WakeDescriptor wake;
    CHECK(wake.open() == 0);
    laplace::Poller poller;
    CHECK(poller.open() == 0);
    const std::vector<Descriptor> all = open_descriptors();
    CHECK(all.size() >= before + 4);
    CHECK(inherited(all) == static_cast<int>(before));
    tcp_peer::must(fcntl(peer, F_SETFD, 0) == 0);
    CHECK(inherited(all) == static_cast<int>(before) + 1);  // it would have been seen
    laplace::close_socket(accepted);
    laplace::close_socket(peer);
}

// In a child, whose limits are its own.
template <typename Checks>
void in_a_child(Checks checks) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const int failed = ::checks::failed;
        checks();
        std::fflush(stdout);
        _exit(::checks::failed == failed ? 0 : 1);
    }
    int status = 0;
    tcp_peer::must(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void leave_descriptors(int count) {
    rlimit limit{};
    tcp_peer::must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const Descriptor next = dup(0);  // the lowest that is free
    tcp_peer::must(next >= 0 && close(next) == 0);
    limit.rlim_cur = static_cast<rlim_t>(next + count);
    tcp_peer::must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

void descriptors_run_out() {
    const Listener listener;
    const Descriptor peer = tcp_peer::connect_to(listener.address);
    tcp_peer::wait_for(listener.descriptor, Interest::read);
    const Descriptor spare = dup(0);
    leave_descriptors(0);
    Descriptor none = laplace::no_descriptor;
    Address address;
    std::string bound;
    const int error = laplace::accept_connection(listener.descriptor, none, address);
    CHECK(error == EMFILE && laplace::classify_accept_error(error) == AcceptError::out_of_resources);
    CHECK(laplace::open_listener("tcp://127.0.0.1:*", 100, 0, none, bound) == EMFILE);
    CHECK(laplace::open_listener("tcp://localhost:*", 100, 0, none, bound) == EMFILE);
    laplace::WakeDescriptor wake;
    CHECK(wake.open() == EMFILE && wake.descriptor() == laplace::no_descriptor);
    CHECK(none == laplace::no_descriptor && bound.empty());
#ifdef __linux__
    laplace::Poller poller;
    CHECK(poller.open() == EMFILE);
#endif
    laplace::Poller by_poll(laplace::Poller::Kind::poll);
    CHECK(by_poll.open() == 0);
    // It was not lost, and comes when there is one.
    close(spare);
    CHECK(laplace::accept_connection(listener.descriptor, none, address) == 0);
    CHECK(laplace::send_bytes(none, "x", 1).bytes == 1);
    CHECK(tcp_peer::Connection::receive_from(peer, 1) == "x");
}

// Whatever is left, it works or says why not.
void few_descriptors_are_left() {
    for (int count = 0; count < 6; ++count) {
        in_a_child([count] {
            leave_descriptors(count);
            for (const char* endpoint : {"tcp://*:*", "tcp://localhost:*", "tcp://127.0.0.1:*"}) {
                Descriptor listening = laplace::no_descriptor;
                std::string bound;
                const int error = laplace::open_listener(endpoint, 100, 0, listening, bound);
                CHECK(error == (listening == laplace::no_descriptor ? EMFILE : 0));
                CHECK(count > 0 || error == EMFILE);
                CHECK(count < 5 || error == 0);
                if (error == 0) laplace::close_socket(listening);
            }
        });
    }
}

#endif

}  // namespace

int main(int count, char** arguments) {
#ifndef _WIN32
    if (count > 1) return open_ones(count - 1, arguments + 1);
    program = arguments[0];
#else
    (void)count;
    (void)arguments;
#endif
    laplace::Network network;
    CHECK(network.open() == 0);
    connections_are_accepted();
    both_protocols_are_accepted();
    a_port_has_one_owner();
    a_port_is_free_at_once();
    errors_of_accept_are_told_apart();
    what_is_no_listener_is_an_error();
    options_are_set();
#ifndef _WIN32
    no_started_program_gets_any();
    in_a_child(descriptors_run_out);
    few_descriptors_are_left();
#endif
    return checks::status();
}
