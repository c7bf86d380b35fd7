// Texts of endpoints. What libzmq makes of odd ones is kept, since programs see its errno.
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "base/interfaces.h"
#include "tcp/address.h"
#include "tcp/system.h"

#ifdef _WIN32
#include <iphlpapi.h>
#else
#include <netdb.h>
#endif

namespace laplace {

namespace {

struct Port {
    uint16_t number = 0;
    bool exact = true;  // nothing else is written there
};

// Returns 0 or EINVAL. libzmq reads the digits that are there and takes the rest of a division by
// 65536, if it is not 0.
int read_port(const std::string& text, Port& port) noexcept {
    if (text == "*" || text == "0") return 0;
    char* end = nullptr;
    const long long number = std::strtoll(text.c_str(), &end, 10);
    if (number % 65536 == 0) return EINVAL;
    port.exact = std::isdigit(static_cast<unsigned char>(text[0])) && *end == '\0' && number <= 65535;
    port.number = static_cast<uint16_t>(number % 65536);
    return 0;
}

Address any_address(bool ipv6) noexcept {
    Address address;
    if (ipv6) {
        sockaddr_in6 any{};
        any.sin6_family = AF_INET6;
        address.assign(&any, sizeof any);
    } else {
        sockaddr_in any{};
        any.sin_family = AF_INET;
        address.assign(&any, sizeof any);
    }
    return address;
}

Address address_of(const std::string& bytes) noexcept {
    Address address;
    if (bytes.size() == sizeof(in6_addr)) {
        sockaddr_in6 ipv6{};
        ipv6.sin6_family = AF_INET6;
        std::memcpy(&ipv6.sin6_addr, bytes.data(), bytes.size());
        address.assign(&ipv6, sizeof ipv6);
    } else {
        sockaddr_in ipv4{};
        ipv4.sin_family = AF_INET;
        std::memcpy(&ipv4.sin_addr, bytes.data(), bytes.size());
        address.assign(&ipv4, sizeof ipv4);
    }
    return address;
}

// How list_interfaces() names the interface of this name.
std::string listed_name(const std::string& name) {
#ifdef _WIN32
    // By the name of the system ("ethernet_32769") or the one that people read and can change.
    ULONG index = if_nametoindex(name.c_str());
    wchar_t alias[IF_MAX_STRING_SIZE + 1];
    NET_LUID luid;
    if (index == 0 && MultiByteToWideChar(CP_UTF8, 0, name.c_str(), -1, alias, IF_MAX_STRING_SIZE + 1) != 0 &&
        ConvertInterfaceAliasToLuid(alias, &luid) == NO_ERROR) {
        ConvertInterfaceLuidToIndex(&luid, &index);
    }
    return index == 0 ? std::string() : std::to_string(index);
#else
    return name;
#endif
}

// The first address of an interface. Returns 0, ENODEV where none is so named, or another errno.
int resolve_interface(const std::string& host, bool ipv6, Address& address) {
    const std::string name = listed_name(host);
    if (name.empty()) return ENODEV;
    std::vector<InterfaceAddress> found;
    const int error = list_interfaces(found);
    // Some systems do not tell.
    if (error == EINVAL || error == EOPNOTSUPP) return ENODEV;
    if (error != 0) return error;
    const size_t size = ipv6 ? sizeof(in6_addr) : sizeof(in_addr);
    for (const InterfaceAddress& each : found) {
        if (each.name != name || each.address.size() != size) continue;
        address = address_of(each.address);
        return 0;
    }
    return ENODEV;
}

int errno_of_lookup(int code, int system_error) noexcept {
    if (code == EAI_MEMORY) return ENOMEM;
#ifdef EAI_SYSTEM
    // Of these libzmq makes ENODEV, too, which would send the user looking for a host.
    if (code == EAI_SYSTEM && (system_error == EMFILE || system_error == ENFILE || system_error == ENOMEM)) {
        return system_error;
    }
#else
    (void)system_error;
#endif
    return ENODEV;
}

int look_up(const std::string& host, bool ipv6, bool numeric, Address& address) noexcept {
    addrinfo hints{};
    hints.ai_family = ipv6 ? AF_INET6 : AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | (numeric ? AI_NUMERICHOST : 0) | (ipv6 ? AI_V4MAPPED : 0);
    addrinfo* found = nullptr;
    int code = getaddrinfo(host.c_str(), nullptr, &hints, &found);
    if (code == EAI_BADFLAGS && ipv6) {  // a system that knows no mapped addresses
        hints.ai_flags &= ~AI_V4MAPPED;
        code = getaddrinfo(host.c_str(), nullptr, &hints, &found);
    }
#ifdef _WIN32
    if (code == WSAHOST_NOT_FOUND && ipv6) {  // Windows maps no literal ones
        hints.ai_family = AF_INET;
        code = getaddrinfo(host.c_str(), nullptr, &hints, &found);
    }
#endif
    if (code != 0) return errno_of_lookup(code, errno);
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
    return address.assign(found->ai_addr, found->ai_addrlen) ? 0 : ENODEV;
}

// "HOST:PORT"; `numeric`: no name of a host.
int resolve(const std::string& text, bool ipv6, bool numeric, Address& address) {
    const size_t colon = text.rfind(':');
    if (colon == std::string::npos) return EINVAL;
    std::string host = text.substr(0, colon);
    Port port;
    if (const int error = read_port(text.substr(colon + 1), port)) return error;
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    uint32_t scope = 0;
    if (const int error = take_scope(host, scope)) return error;
    if (host == "*") {
        address = any_address(ipv6);
    } else {
        int error = resolve_interface(host, ipv6, address);
        if (error == ENODEV) error = look_up(host, ipv6, numeric, address);
        if (error != 0) return error;
    }
    // Only here, since libzmq would have failed before for a host that there is not.
    if (!port.exact) return EINVAL;
    address.set_port(port.number);
    if (address.is_ipv6()) address.set_scope(scope);
    return 0;
}

int read_endpoint(const std::string& endpoint, bool ipv6, Address& address) {
    if (endpoint.find('\0') != std::string::npos) return EINVAL;
    const size_t colon = endpoint.find("://");
    if (colon == std::string::npos || colon == 0 || colon + 3 == endpoint.size()) return EINVAL;
    if (endpoint.compare(0, colon, "tcp") != 0) return EPROTONOSUPPORT;
    std::string text = endpoint.substr(colon + 3);
    // What stands before a semicolon is the source of a connection: libzmq checks and ignores it here.
    const size_t semicolon = text.rfind(';');
    if (semicolon != std::string::npos) {
        Address ignored;
        if (const int error = resolve(text.substr(0, semicolon), ipv6, true, ignored)) return error;
        text.erase(0, semicolon + 1);
    }
    return resolve(text, ipv6, false, address);
}

}  // namespace

int resolve_endpoint(const std::string& endpoint, bool ipv6, Address& address) noexcept {
    try {
        return read_endpoint(endpoint, ipv6, address);
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
}

}  // namespace laplace
