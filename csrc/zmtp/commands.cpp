#include "zmtp/commands.h"

#include "zmtp/frames.h"

namespace laplace::zmtp {

namespace {

constexpr char greeting_bytes[greeting_size] = {
    '\xFF', 0, 0, 0, 0, 0, 0, 0, 1, '\x7F',  // libzmq takes the padding for a size, and itself sends this
    3, 1,                                    // the version
    'N', 'U', 'L', 'L',                      // the mechanism; then it is as server or not, and nothing
};

constexpr char curve_greetings[2][greeting_size] = {
    {'\xFF', 0, 0, 0, 0, 0, 0, 0, 1, '\x7F', 3, 1, 'C', 'U', 'R', 'V', 'E'},
    {'\xFF', 0, 0, 0, 0, 0, 0, 0, 1, '\x7F', 3, 1, 'C', 'U', 'R', 'V', 'E', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
     0, 0, 1},
};

constexpr SocketType types[] = {SocketType::req, SocketType::rep, SocketType::dealer, SocketType::router};

char* put(std::string_view bytes, char* out) noexcept {
    if (!bytes.empty()) std::memmove(out, bytes.data(), bytes.size());  // they may be in their place already
    return out + bytes.size();
}

// The size in one byte, then what it is the size of.
char* put_sized(std::string_view bytes, char* out) noexcept {
    *out = static_cast<char>(bytes.size());
    return put(bytes, out + 1);
}

char* put_property(std::string_view name, std::string_view value, char* out) noexcept {
    out = put_sized(name, out);
    for (int i = 0; i < 4; ++i) *out++ = static_cast<char>(value.size() >> (24 - 8 * i) & 0xFF);
    return put(value, out);
}

size_t property_size(std::string_view name, std::string_view value) noexcept {
    return 1 + name.size() + 4 + value.size();
}

// The header of a command, and its name; `size` is that of what follows the name.
char* begin_command(std::string_view name, size_t size, char* out) noexcept {
    return put_sized(name, detail::encode_header(flag_command, 1 + name.size() + size, out));
}

}  // namespace

std::string_view name_of(SocketType type) noexcept {
    switch (type) {
        case SocketType::req: return "REQ";
        case SocketType::rep: return "REP";
        case SocketType::dealer: return "DEALER";
        case SocketType::router: return "ROUTER";
        case SocketType::unknown: break;
    }
    return {};
}

SocketType socket_type(std::string_view name) noexcept {
    for (const SocketType type : types) {
        if (name_of(type) == name) return type;
    }
    return SocketType::unknown;
}

bool may_talk(SocketType own, SocketType peer) noexcept {
    const auto is_one_of = [peer](SocketType one, SocketType other, SocketType third) {
        return peer == one || peer == other || peer == third;
    };
    if (peer == SocketType::unknown) return true;
    switch (own) {
        case SocketType::req: return is_one_of(SocketType::rep, SocketType::router, SocketType::router);
        case SocketType::rep: return is_one_of(SocketType::req, SocketType::dealer, SocketType::dealer);
        case SocketType::dealer: return is_one_of(SocketType::rep, SocketType::dealer, SocketType::router);
        case SocketType::router: return is_one_of(SocketType::req, SocketType::dealer, SocketType::router);
        case SocketType::unknown: break;
    }
    return true;
}

std::string_view greeting() noexcept { return {greeting_bytes, greeting_size}; }

std::string_view curve_greeting(bool as_server) noexcept { return {curve_greetings[as_server], greeting_size}; }

char* encode_metadata(SocketType own, std::string_view identity, char* out) noexcept {
    out = put_property("Socket-Type", name_of(own), out);
    return put_property("Identity", identity.substr(0, max_identity), out);
}

char* encode_ready(SocketType own, std::string_view identity, char* out) noexcept {
    const size_t size = property_size("Socket-Type", name_of(own)) +
                        property_size("Identity", identity.substr(0, max_identity));
    return encode_metadata(own, identity, begin_command("READY", size, out));
}

char* encode_error(std::string_view reason, char* out) noexcept {
    reason = reason.substr(0, max_reason);
    return put_sized(reason, begin_command("ERROR", 1 + reason.size(), out));
}

char* encode_ping(unsigned ttl_tenths, std::string_view context, char* out) noexcept {
    context = context.substr(0, max_ping_context);
    const unsigned ttl = ttl_tenths < 0xFFFF ? ttl_tenths : 0xFFFF;
    out = begin_command("PING", 2 + context.size(), out);
    *out++ = static_cast<char>(ttl >> 8);
    *out++ = static_cast<char>(ttl & 0xFF);
    return put(context, out);
}

char* encode_pong(std::string_view context, char* out) noexcept {
    context = context.substr(0, max_ping_context);
    return put(context, begin_command("PONG", context.size(), out));
}

}  // namespace laplace::zmtp
