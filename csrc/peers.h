// A peer that is owed answers. Its requests stand in a line of slots, in the order
// they came; only the first can be answered. A peer that is owed nothing has no record.
// Who numbers its requests in a routing frame (REQ_CORRELATE) is another peer with each.
#ifndef LAPLACE_PEERS_H
#define LAPLACE_PEERS_H

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "documents.h"
#include "message.h"

namespace laplace {

struct Answer {
    Message reply;
    std::vector<Message> arrays;  // further frames
    Taken taken;  // a value only this reply carries
    unsigned command = 0;
    int error = 0;
    bool native = true;

    size_t size() const noexcept {
        size_t size = reply.size();
        for (const Message& array : arrays) size += array.size();
        return size;
    }
};

enum class SlotState {
    held,     // not begun: earlier requests of this peer come first
    queued,   // Python has it
    waiting,  // for a text
    ready,    // answer complete, to be sent
    dropped   // its peer does not read: nothing will be sent
};

struct Slot {
    Route route;
    Message body;
    SlotState state = SlotState::held;
    bool one_frame = true;
    uint64_t id = 0;        // of the job, while queued
    Ticket ticket;          // of the text waited for
    uint64_t deadline = 0;  // of that wait, ns
    uint64_t arrived = 0;   // ns
    size_t weight = 0;      // bytes it counts against the pending limits, while charged
    size_t parked = 0;      // bytes it counts as parked, while ready
    bool for_python = false;  // which of the two pending budgets it counts against
    Answer answer;
};

// What one connection holds of the server's memory. Several peers share it behind a
// proxy, and its budget, so that no connection gains by inventing peers.
struct Connection {
    size_t pending = 0;
    size_t pending_bytes = 0;
    size_t parked_bytes = 0;
    size_t peers = 0;
    size_t parked_peers = 0;  // those whose answer waits for room
    // Bytes of large replies that libzmq has and the network has not. libzmq frees them in
    // its own threads, maybe after the connection is forgotten here.
    std::shared_ptr<std::atomic<size_t>> in_flight = std::make_shared<std::atomic<size_t>>(0);
};

struct Peer {
    std::string key;
    std::string connection_id;
    Connection* connection = nullptr;
    std::deque<Slot> slots;
    bool waiting = false;  // listed in the loop's waiting peers
    bool parked = false;   // listed in the loop's parked peers
};

// Who asks, as one string: all routing frames, so that each program behind a proxy is a peer
// of its own, whatever its routing id looks like. A frame's size stands before it: no two lists
// of frames give the same.
inline void route_key(Message* frames, size_t count, std::string& key) {
    key.clear();
    for (size_t i = 0; i < count; ++i) {
        const uint64_t size = frames[i].size();
        key.append(reinterpret_cast<const char*>(&size), sizeof size);
        key.append(frames[i].view());
    }
}

using Peers = std::unordered_map<std::string, Peer>;
using Connections = std::unordered_map<std::string, Connection>;

}  // namespace laplace

#endif
