// A peer that is owed answers. Its requests stand in a line of slots, in the order
// they came; only the first can be answered. A peer that is owed nothing has no record.
// Who numbers its requests in a routing frame (REQ_CORRELATE) is another peer with each.
#ifndef LAPLACE_PEERS_H
#define LAPLACE_PEERS_H

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>

#include "requests/answer.h"
#include "requests/dispatch.h"
#include "transport/route.h"

namespace laplace {

enum class SlotState {
    held,     // not begun: earlier requests of this peer come first
    queued,   // Python has it
    waiting,  // for a text
    ready,    // answer complete, to be sent
    dropped   // there was no room for its answer: nothing will be sent
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
    Action action = Action::python;  // what its command was when it came, or began
    Answer answer;
};

struct Peer {
    std::string key;
    ConnectionRef connection;
    std::deque<Slot> slots;
    bool waiting = false;  // for a text
    bool parked = false;   // for room
    size_t dropped = 0;    // of the slots
};

using Peers = std::unordered_map<std::string, Peer>;

}  // namespace laplace

#endif
