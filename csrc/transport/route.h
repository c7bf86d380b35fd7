// The way back to who sent a request: its connection, and the frames up to and including the first empty
// one, which go back verbatim in front of each reply.
#ifndef LAPLACE_ROUTE_H
#define LAPLACE_ROUTE_H

#include <cstdint>
#include <string>
#include <string_view>

#include "transport/connection.h"
#include "transport/message.h"

namespace laplace {

struct Route {
    ConnectionRef connection;
    std::string frames;  // encoded as on the wire (zmtp/frames.h): one is usually 2 bytes
};

inline size_t size_of(const Message* frames, size_t count) noexcept {
    size_t size = 0;
    for (size_t i = 0; i < count; ++i) size += frames[i].size();
    return size;
}

// Who asks, as one string, so that each program behind a proxy is a peer of its own.
inline void route_key(const Connection& connection, std::string_view frames, std::string& key) {
    const uint64_t id = connection.id();
    key.assign(reinterpret_cast<const char*>(&id), sizeof id);
    key.append(frames);
}

}  // namespace laplace

#endif
