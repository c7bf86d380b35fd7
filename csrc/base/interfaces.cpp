#include "base/interfaces.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX  // MinGW's C++ headers define it themselves
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>

#include <iphlpapi.h>
#else
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#ifndef __APPLE__
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>
#endif
#endif

namespace laplace {

namespace {

// The bytes of an IP address; empty for one of another kind.
std::string bytes_of(const sockaddr* address) {
    if (address == nullptr) return {};
    if (address->sa_family == AF_INET) {
        sockaddr_in ipv4;
        std::memcpy(&ipv4, address, sizeof ipv4);
        return {reinterpret_cast<const char*>(&ipv4.sin_addr), sizeof ipv4.sin_addr};
    }
    if (address->sa_family == AF_INET6) {
        sockaddr_in6 ipv6;
        std::memcpy(&ipv6, address, sizeof ipv6);
        std::string bytes(reinterpret_cast<const char*>(&ipv6.sin6_addr), sizeof ipv6.sin6_addr);
        // macOS writes the interface's number into a link-local address, where zeros belong.
        if (IN6_IS_ADDR_LINKLOCAL(&ipv6.sin6_addr)) bytes[2] = bytes[3] = '\0';
        return bytes;
    }
    return {};
}

#ifdef _WIN32

bool is_internal(const IP_ADAPTER_ADDRESSES& adapter) noexcept {
    MIB_IF_ROW2 row{};
    row.InterfaceLuid = adapter.Luid;
    return GetIfEntry2(&row) == NO_ERROR && !row.InterfaceAndOperStatusFlags.HardwareInterface;
}

int list(std::vector<InterfaceAddress>& found) {
    constexpr ULONG flags =
        GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER | GAA_FLAG_SKIP_FRIENDLY_NAME;
    std::unique_ptr<std::max_align_t[]> memory;
    IP_ADAPTER_ADDRESSES* adapters = nullptr;
    ULONG size = 16 * 1024, error = ERROR_BUFFER_OVERFLOW;
    // It says how much it needs, which may have grown when it is asked again.
    for (int tries = 0; tries < 5 && error == ERROR_BUFFER_OVERFLOW; ++tries) {
        memory.reset(new std::max_align_t[size / sizeof(std::max_align_t) + 1]);
        adapters = reinterpret_cast<IP_ADAPTER_ADDRESSES*>(memory.get());
        error = GetAdaptersAddresses(AF_UNSPEC, flags, nullptr, adapters, &size);
    }
    if (error == ERROR_NO_DATA) return 0;
    if (error != NO_ERROR) return static_cast<int>(error);
    for (const IP_ADAPTER_ADDRESSES* adapter = adapters; adapter != nullptr; adapter = adapter->Next) {
        const IP_ADAPTER_UNICAST_ADDRESS* each = adapter->FirstUnicastAddress;
        for (; each != nullptr; each = each->Next) {
            InterfaceAddress entry;
            entry.address = bytes_of(each->Address.lpSockaddr);
            if (entry.address.empty() || each->DadState != IpDadStatePreferred) continue;
            entry.name = std::to_string(adapter->Ipv6IfIndex != 0 ? adapter->Ipv6IfIndex : adapter->IfIndex);
            entry.running = adapter->OperStatus == IfOperStatusUp;
            entry.loopback = adapter->IfType == IF_TYPE_SOFTWARE_LOOPBACK;
            entry.internal = is_internal(*adapter);
            found.push_back(std::move(entry));
        }
    }
    return 0;
}

#else

#ifdef __APPLE__

struct Kinds {
    bool internal(const char* name) const noexcept { return std::strncmp(name, "en", 2) != 0; }
};

#else

// Asks the kernel for the drivers of interfaces.
class Kinds {
public:
    Kinds() noexcept : socket_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}
    ~Kinds() {
        if (socket_ >= 0) close(socket_);
    }
    Kinds(const Kinds&) = delete;
    Kinds& operator=(const Kinds&) = delete;

    bool internal(const char* name) const noexcept {
        ethtool_drvinfo info{};
        info.cmd = ETHTOOL_GDRVINFO;
        ifreq request{};
        std::strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
        request.ifr_data = reinterpret_cast<char*>(&info);
        if (socket_ < 0 || ioctl(socket_, SIOCETHTOOL, &request) != 0) return false;
        info.driver[sizeof info.driver - 1] = '\0';
        for (const char* each : {"bridge", "dummy", "openvswitch", "tun", "wireguard"}) {
            if (std::strcmp(info.driver, each) == 0) return true;
        }
        return false;
    }

private:
    const int socket_;
};

#endif

int list(std::vector<InterfaceAddress>& found) {
    ifaddrs* first = nullptr;
    if (getifaddrs(&first) != 0) return errno;
    const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(first, freeifaddrs);
    const Kinds kinds;
    constexpr unsigned wanted = IFF_UP | IFF_RUNNING;
    for (const ifaddrs* each = first; each != nullptr; each = each->ifa_next) {
        InterfaceAddress entry;
        entry.address = bytes_of(each->ifa_addr);
        if (entry.address.empty()) continue;
        entry.name = each->ifa_name;
        entry.running = (each->ifa_flags & wanted) == wanted;
        entry.loopback = (each->ifa_flags & IFF_LOOPBACK) != 0;
        entry.internal = kinds.internal(each->ifa_name);
        found.push_back(std::move(entry));
    }
    return 0;
}

#endif

}  // namespace

int list_interfaces(std::vector<InterfaceAddress>& found) noexcept {
    try {
        return list(found);
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
}

}  // namespace laplace
