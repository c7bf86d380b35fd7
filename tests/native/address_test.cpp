// Tests of addresses and of the endpoints that name them; none asks a name server. Returns 1 if any
// failed. What libzmq makes of each text is compared by tests/server/test_bind_errors.py.

#include "base/interfaces.h"
#include "tcp/address.h"
#include "tcp/listener.h"
#include "tcp/network.h"
#include "tcp/socket.h"
#include "support/checks.h"
#include "support/failing_memory.h"

#include "tcp/system.h"

#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using laplace::Address;
using laplace::resolve_endpoint;

// The endpoint as it would be bound, or the errno as text.
std::string resolved(const std::string& endpoint, bool ipv6 = false) {
    Address address;
    std::string text;
    int error = resolve_endpoint(endpoint, ipv6, address);
    if (error == 0) error = address.write_endpoint(text);
    return error == 0 ? text : std::to_string(error);
}

const std::string invalid = std::to_string(EINVAL), unknown = std::to_string(ENODEV),
                  other = std::to_string(EPROTONOSUPPORT);

void endpoints_of_ipv4() {
    const std::pair<const char*, std::string> cases[] = {
        {"tcp://127.0.0.1:5555", "tcp://127.0.0.1:5555"},
        {"tcp://*:5555", "tcp://0.0.0.0:5555"},
        {"tcp://*:*", "tcp://0.0.0.0:0"},
        {"tcp://*:0", "tcp://0.0.0.0:0"},
        {"tcp://0.0.0.0:1", "tcp://0.0.0.0:1"},
        {"tcp://192.0.2.7:65535", "tcp://192.0.2.7:65535"},
        {"tcp://127.0.0.1:0080", "tcp://127.0.0.1:80"},
        {"tcp://127.0.0.1:65536", invalid},
        {"tcp://127.0.0.1:70000", invalid},
        {"tcp://127.0.0.1:99999999999999999999", invalid},
        {"tcp://127.0.0.1:-1", invalid},
        {"tcp://127.0.0.1:+1", invalid},
        {"tcp://127.0.0.1: 1", invalid},
        {"tcp://127.0.0.1:1 ", invalid},
        {"tcp://127.0.0.1:00", invalid},
        {"tcp://127.0.0.1:", invalid},
        {"tcp://127.0.0.1:**", invalid},
        {"tcp://127.0.0.1:http", invalid},
        {"tcp://127.0.0.1:80x", invalid},
        {"tcp://127.0.0.1", invalid},
        {"tcp://127.0.0.1%:5555", invalid},
        {"tcp://127.0.0.1%0:5555", invalid},
        {"tcp://127.0.0.1%1:5555", "tcp://127.0.0.1:5555"},
        {"tcp://127.0.0.1:1;127.0.0.1:5555", "tcp://127.0.0.1:5555"},
        {"tcp://127.0.0.1;127.0.0.1:5555", invalid},
        {"tcp://127.0.0.1:1;", invalid},
        {"tcp://::1:5555", unknown},
        {"tcp://", invalid},
        {"tcp:", invalid},
        {"", invalid},
        {"://127.0.0.1:5555", invalid},
        {"127.0.0.1:5555", invalid},
        {"udp://127.0.0.1:5555", other},
        {"inproc://here", other},
        {"TCP://127.0.0.1:5555", other},
    };
    for (const auto& [endpoint, wanted] : cases) {
        if (!CHECK(resolved(endpoint) == wanted)) std::printf("  %s: %s\n", endpoint, resolved(endpoint).c_str());
    }
    CHECK(resolved(std::string("tcp://127.0.0.1\0:5555", 21)) == invalid);
    CHECK(resolved(std::string("tcp://127.0.0.1:5555\0", 21)) == invalid);
}

void endpoints_of_ipv6() {
    const std::pair<const char*, std::string> cases[] = {
        {"tcp://[::1]:5555", "tcp://[::1]:5555"},
        {"tcp://[::]:*", "tcp://[::]:0"},
        {"tcp://[*]:5555", "tcp://[::]:5555"},
        {"tcp://[2001:db8:0:0::5]:5555", "tcp://[2001:db8::5]:5555"},
        {"tcp://[2001:DB8::5]:5555", "tcp://[2001:db8::5]:5555"},
        {"tcp://::1:5555", "tcp://[::1]:5555"},
        {"tcp://[::]", invalid},
        {"tcp://[::1]:", invalid},
        {"tcp://[::1%]:5555", invalid},
        {"tcp://[fe80::1%0]:5555", invalid},
        {"tcp://[fe80::1%no_such_interface]:5555", invalid},
    };
    for (const auto& [endpoint, wanted] : cases) {
        const std::string got = resolved(endpoint, true);
        if (!CHECK(got == wanted)) std::printf("  %s: %s\n", endpoint, got.c_str());
    }
    CHECK(resolved("tcp://[fe80::1%1]:5555", true).rfind("tcp://[fe80::1%", 0) == 0);
    CHECK(resolved("tcp://*:5555", true) == "tcp://[::]:5555");
}

// Each by its name: its first address.
void names_of_interfaces() {
#ifndef _WIN32
    std::vector<laplace::InterfaceAddress> interfaces;
    CHECK(laplace::list_interfaces(interfaces) == 0);
    int named = 0;
    for (const laplace::InterfaceAddress& each : interfaces) {
        const bool ipv6 = each.address.size() == 16;
        std::string first = each.address;
        for (const laplace::InterfaceAddress& one : interfaces) {
            if (one.name != each.name || one.address.size() != each.address.size()) continue;
            first = one.address;
            break;
        }
        Address address;
        CHECK(resolve_endpoint("tcp://" + each.name + ":5555", ipv6, address) == 0);
        const Address::HostKey key = address.host_key();
        CHECK(std::memcmp(key.data() + key.size() - first.size(), first.data(), first.size()) == 0);
        CHECK(address.port() == 5555 && address.is_ipv6() == ipv6);
        ++named;
    }
    CHECK(named > 0);
#endif
}

void parts_of_an_address() {
    Address address;
    CHECK(address.size() == 0 && address.port() == 0 && !address.is_ipv6());
    CHECK(address.host_text().text[0] == '\0' && address.host_key() == Address::HostKey{});
    std::string endpoint = "as before";
    CHECK(address.write_endpoint(endpoint) == EINVAL && endpoint == "as before");

    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(4321);
    const unsigned char bytes[4] = {192, 0, 2, 7};
    std::memcpy(&ipv4.sin_addr, bytes, sizeof bytes);
    CHECK(!address.assign(&ipv4, sizeof ipv4 - 1) && address.size() == 0);
    CHECK(!address.assign(&ipv4, 0));
    CHECK(address.assign(&ipv4, sizeof ipv4) && address.size() == sizeof ipv4);
    CHECK(std::memcmp(address.raw(), &ipv4, sizeof ipv4) == 0);
    CHECK(address.port() == 4321 && !address.is_ipv6());
    CHECK(std::string(address.host_text().text) == "192.0.2.7");
    const Address::HostKey mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7};
    CHECK(address.host_key() == mapped);

    sockaddr_in6 ipv6{};
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(1234);
    std::memcpy(&ipv6.sin6_addr, mapped.data(), mapped.size());
    Address same;
    CHECK(!same.assign(&ipv6, sizeof ipv6 - 1));
    CHECK(same.assign(&ipv6, sizeof ipv6) && same.is_ipv6() && same.port() == 1234);
    CHECK(same.host_key() == mapped);
    same.set_port(5);
    CHECK(same.port() == 5 && same.host_key() == mapped);
    ipv6.sin6_family = AF_UNSPEC;
    CHECK(!same.assign(&ipv6, sizeof ipv6) && same.size() == 0);
}

// Whatever a port is written like, what is bound is what is written, or nothing is.
void ports_by_chance() {
    std::mt19937 random(1);
    const std::string letters = "0123456789*+-: ]x;%";
    std::uniform_int_distribution<size_t> letter(0, letters.size() - 1), size(0, 6);
    int accepted = 0;
    for (int i = 0; i < 20000; ++i) {
        std::string port;
        for (size_t left = size(random); left > 0; --left) port += letters[letter(random)];
        // What follows a colon or more would be part of a host.
        if (port.find_first_of(":;%") != std::string::npos) continue;
        const std::string got = resolved("tcp://127.0.0.1:" + port);
        const bool digits = !port.empty() && port.find_first_not_of("0123456789") == std::string::npos;
        const int number = digits ? std::stoi(port) : port == "*" ? 0 : -1;
        const bool good = port == "*" || port == "0" || (number > 0 && number <= 65535);
        CHECK(got == (good ? "tcp://127.0.0.1:" + std::to_string(number) : invalid));
        accepted += good;
    }
    CHECK(accepted > 100);
}

// It is told as such, and nothing stays open.
void memory_may_be_out() {
    for (const std::string endpoint : {"tcp://127.0.0.1:*", "tcp://[0000:0000:0000:0000:0000:0000:0000:0001%1]:*"}) {
        for (uint64_t number = 1;; ++number) {
            laplace::Descriptor opened = laplace::no_descriptor;
            std::string bound;
            int error = 0;
            bool reached = false;
            {
                const failing_memory::At at(number);
                error = laplace::open_listener(endpoint, 1, 0, opened, bound);
                reached = at.reached();
            }
            if (!reached) break;
            CHECK(error == ENOMEM);
            CHECK(opened == laplace::no_descriptor && bound.empty());
        }
    }
}

}  // namespace

int main() {
    laplace::Network network;
    CHECK(network.open() == 0);
    endpoints_of_ipv4();
    endpoints_of_ipv6();
    names_of_interfaces();
    parts_of_an_address();
    ports_by_chance();
    memory_may_be_out();
    return checks::status();
}
