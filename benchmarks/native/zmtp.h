// As much of ZMTP 3.0 as these programs need, by themselves: they measure the project's own.
// https://rfc.zeromq.org/spec/23
#ifndef LAPLACE_BENCHMARKS_ZMTP_H
#define LAPLACE_BENCHMARKS_ZMTP_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace zmtp {

constexpr unsigned char flag_more = 1, flag_long = 2, flag_command = 4;
constexpr size_t greeting_size = 64, most_header = 9;

inline std::string frame(std::string_view body, unsigned char flags) {
    std::string text;
    if (body.size() > 255) {
        text += static_cast<char>(flags | flag_long);
        for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(body.size() >> shift);
    } else {
        text += static_cast<char>(flags);
        text += static_cast<char>(body.size());
    }
    return text.append(body);
}

// A message behind an empty frame, as REQ and its like send and get it.
inline std::string enveloped(std::string_view body) { return frame("", flag_more) + frame(body, 0); }

inline std::string greeting() {
    std::string text(greeting_size, '\0');
    text[0] = '\xff';
    text[9] = '\x7f';
    text[10] = 3;
    text.replace(12, 4, "NULL");
    return text;
}

// Of sockets whose types have six letters: DEALER, ROUTER.
inline std::string ready(std::string_view socket_type) {
    std::string command = "\x05READY\x0bSocket-Type";
    command.append({0, 0, 0, 6}).append(socket_type);
    return frame(command, flag_command);
}

struct Header {
    size_t size = 0;  // 0: it is not there whole
    unsigned char flags = 0;
    uint64_t length = 0;  // of the body
};

inline Header header_of(const char* bytes, size_t size) {
    const auto* data = reinterpret_cast<const unsigned char*>(bytes);
    if (size < 2) return {};
    if ((data[0] & flag_long) == 0) return {2, data[0], data[1]};
    if (size < most_header) return {};
    uint64_t length = 0;
    for (size_t i = 1; i < most_header; ++i) length = length << 8 | data[i];
    return {most_header, data[0], length};
}

}  // namespace zmtp

#endif
