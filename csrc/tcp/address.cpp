#include "tcp/address.h"

#include <cstring>
#include <new>

#include "tcp/system.h"

#ifndef _WIN32
#include <netdb.h>
#endif

namespace laplace {

namespace {

template <typename Kind>
Kind as(const unsigned char* bytes) noexcept {
    Kind address;
    std::memcpy(&address, bytes, sizeof address);
    return address;
}

int family_of(const unsigned char* bytes) noexcept { return as<sockaddr>(bytes).sa_family; }

}  // namespace

static_assert(sizeof(sockaddr_in) <= Address::most_bytes && sizeof(sockaddr_in6) <= Address::most_bytes);

bool Address::assign(const void* sockaddr, size_t size) noexcept {
    size_ = 0;
    if (size < sizeof(struct sockaddr)) return false;
    const int family = family_of(static_cast<const unsigned char*>(sockaddr));
    const size_t wanted = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if ((family != AF_INET && family != AF_INET6) || size < wanted) return false;
    std::memcpy(bytes_, sockaddr, wanted);
    size_ = wanted;
    return true;
}

bool Address::is_ipv6() const noexcept { return size_ != 0 && family_of(bytes_) == AF_INET6; }

uint16_t Address::port() const noexcept {
    if (size_ == 0) return 0;
    return ntohs(is_ipv6() ? as<sockaddr_in6>(bytes_).sin6_port : as<sockaddr_in>(bytes_).sin_port);
}

void Address::set_port(uint16_t port) noexcept {
    const auto number = htons(port);
    const size_t place = is_ipv6() ? offsetof(sockaddr_in6, sin6_port) : offsetof(sockaddr_in, sin_port);
    std::memcpy(bytes_ + place, &number, sizeof number);
}

void Address::set_scope(uint32_t scope) noexcept {
    std::memcpy(bytes_ + offsetof(sockaddr_in6, sin6_scope_id), &scope, sizeof scope);
}

Address::HostKey Address::host_key() const noexcept {
    HostKey key{};
    if (is_ipv6()) {
        std::memcpy(key.data(), bytes_ + offsetof(sockaddr_in6, sin6_addr), key.size());
    } else if (size_ != 0) {
        key[10] = key[11] = 0xff;
        std::memcpy(key.data() + 12, bytes_ + offsetof(sockaddr_in, sin_addr), 4);
    }
    return key;
}

Address::HostText Address::host_text() const noexcept {
    HostText host;
    // A text that is cut off or unfinished is none.
    if (size_ != 0 && getnameinfo(reinterpret_cast<const sockaddr*>(bytes_), static_cast<socklen_t>(size_), host.text,
                                  sizeof host.text, nullptr, 0, NI_NUMERICHOST) != 0) {
        host = HostText{};
    }
    return host;
}

int Address::write_endpoint(std::string& endpoint) const noexcept {
    const HostText host = host_text();
    if (host.text[0] == '\0') return EINVAL;
    try {
        const std::string name = is_ipv6() ? "[" + std::string(host.text) + "]" : host.text;
        endpoint = "tcp://" + name + ":" + std::to_string(port());
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
    return 0;
}

}  // namespace laplace
