#include <cctype>
#include <cstdlib>
#include <new>
#include <string>

#include "tcp/address.h"
#include "tcp/system.h"

#ifdef _WIN32
#include <iphlpapi.h>
#else
#include <arpa/inet.h>
#include <net/if.h>
#endif

namespace laplace {

namespace {

int read_numeric(std::string host, uint16_t port, Address& address) {
    if (host.find('\0') != std::string::npos) return EINVAL;
    sockaddr_in ipv4{};
    if (inet_pton(AF_INET, host.c_str(), &ipv4.sin_addr) == 1) {
        ipv4.sin_family = AF_INET;
        ipv4.sin_port = htons(port);
        return address.assign(&ipv4, sizeof ipv4) ? 0 : EINVAL;
    }
    sockaddr_in6 ipv6{};
    uint32_t scope = 0;
    if (const int error = take_scope(host, scope)) return error;
    if (inet_pton(AF_INET6, host.c_str(), &ipv6.sin6_addr) != 1) return EINVAL;
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(port);
    ipv6.sin6_scope_id = scope;
    return address.assign(&ipv6, sizeof ipv6) ? 0 : EINVAL;
}

}  // namespace

int take_scope(std::string& host, uint32_t& scope) {
    scope = 0;
    const size_t place = host.rfind('%');
    if (place == std::string::npos) return 0;
    const std::string text = host.substr(place + 1);
    host.resize(place);
    if (text.empty()) return EINVAL;
    const bool named = std::isalpha(static_cast<unsigned char>(text[0])) != 0;
    scope = named ? if_nametoindex(text.c_str()) : static_cast<uint32_t>(std::strtol(text.c_str(), nullptr, 10));
    return scope == 0 ? EINVAL : 0;
}

int numeric_address(const std::string& host, uint16_t port, Address& address) noexcept {
    try {
        return read_numeric(host, port, address);
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
}

}  // namespace laplace
