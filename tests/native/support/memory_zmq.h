// libzmq made of memory, for the router over it: messages, and a ROUTER whose peers have as much room as
// the test says. Include it in one file of a program.
#ifndef LAPLACE_TESTS_MEMORY_ZMQ_H
#define LAPLACE_TESTS_MEMORY_ZMQ_H

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "support/failing_memory.h"
#include "transport/message.h"
#include "transport/zmq_frame.h"
#include "transport/zmq_sockets.h"

namespace laplace {

zmq_api zmq{};

}  // namespace laplace

namespace memory_zmq {

using laplace::zmq_msg;
using laplace::ZmqFrame;

using Frames = std::vector<std::string>;

// ---- messages

inline std::atomic<long> living{0};  // buffers of messages
inline int last_error = 0;

struct Buffer {
    char* bytes = nullptr;
    void (*release)(void*, void*) = nullptr;  // null: the bytes are its own
    void* hint = nullptr;

    Buffer() { ++living; }
    ~Buffer() {
        --living;
        if (release != nullptr) {
            release(bytes, hint);
        } else {
            std::free(bytes);
        }
    }
};

struct Content {
    Buffer* buffer;
    size_t size;
    bool more;
};
static_assert(sizeof(Content) <= sizeof(zmq_msg));

inline Content& content(zmq_msg* msg) { return *reinterpret_cast<Content*>(msg); }
inline const Content& content(const zmq_msg* msg) { return *reinterpret_cast<const Content*>(msg); }

inline int msg_init(zmq_msg* msg) {
    content(msg) = {nullptr, 0, false};
    return 0;
}

inline int msg_init_size(zmq_msg* msg, size_t size) {
    if (failing_memory::fails()) {
        last_error = ENOMEM;
        return -1;
    }
    const failing_memory::Paused paused;
    content(msg) = {new Buffer, size, false};
    content(msg).buffer->bytes = static_cast<char*>(std::calloc(1, size + 1));
    if (content(msg).buffer->bytes == nullptr) std::abort();
    return 0;
}

inline int msg_init_data(zmq_msg* msg, void* data, size_t size, void (*release)(void*, void*), void* hint) {
    if (failing_memory::fails()) {
        last_error = ENOMEM;
        return -1;
    }
    const failing_memory::Paused paused;
    content(msg) = {new Buffer, size, false};
    content(msg).buffer->bytes = static_cast<char*>(data);
    content(msg).buffer->release = release;
    content(msg).buffer->hint = hint;
    return 0;
}

inline int msg_close(zmq_msg* msg) {
    delete content(msg).buffer;
    return msg_init(msg);
}

inline int msg_move(zmq_msg* to, zmq_msg* from) {
    msg_close(to);
    content(to) = content(from);
    return msg_init(from);
}

// ---- a ROUTER; its address is the socket

class Wire {
public:
    struct Peer {
        size_t room = SIZE_MAX;  // messages that libzmq takes before they are read
        bool gone = false;
        std::deque<std::vector<ZmqFrame>> held;
    };

    // A message that will be received, its sender's id first.
    void deliver(Frames frames) {
        for (size_t i = 0; i < frames.size(); ++i) incoming_.push_back({std::move(frames[i]), i + 1 < frames.size()});
    }
    Peer& peer(const std::string& id) { return peers_[id]; }
    // The next message that a peer was sent, without its id; none where there is none.
    Frames read(const std::string& id) {
        Frames frames;
        Peer& from = peers_[id];
        if (from.held.empty()) return frames;
        for (ZmqFrame& frame : from.held.front()) frames.emplace_back(frame.view());
        from.held.pop_front();
        return frames;
    }
    size_t held(const std::string& id) { return peers_[id].held.size(); }

    std::function<void()> on_sleep = [] {};  // before a receive that would wait
    int fault = EAGAIN;                      // of a receive where nothing is there
    int timeout_ms = -2, timeouts_set = 0;
    int wake_ups = 0;

    int receive(zmq_msg* msg, int flags) {
        const failing_memory::Paused paused;
        if (incoming_.empty() && (flags & laplace::ZMQ_DONTWAIT) == 0) on_sleep();
        if (incoming_.empty()) return failed(fault);
        const auto [text, more] = std::move(incoming_.front());
        incoming_.pop_front();
        msg_close(msg);
        if (!text.empty()) {
            if (msg_init_size(msg, text.size()) != 0) std::abort();
            std::memcpy(content(msg).buffer->bytes, text.data(), text.size());
        }
        content(msg).more = more;
        return static_cast<int>(text.size());
    }
    int send(zmq_msg* msg, int flags) {
        const failing_memory::Paused paused;
        if (!sending_) {
            const std::string id(content(msg).buffer->bytes, content(msg).size);
            Peer& to = peers_[id];
            if (to.gone) return failed(laplace::ZMQ_EHOSTUNREACH);
            if (to.held.size() >= to.room) return failed(EAGAIN);
            to_ = &to;
            to.held.emplace_back();
            msg_close(msg);
        } else {
            ZmqFrame& frame = to_->held.back().emplace_back();
            msg_move(frame.raw(), msg);
        }
        sending_ = (flags & laplace::ZMQ_SNDMORE) != 0;
        return 0;
    }

private:
    struct Frame {
        std::string text;
        bool more;
    };
    static int failed(int error) {
        last_error = error;
        return -1;
    }

    std::deque<Frame> incoming_;
    std::map<std::string, Peer> peers_;
    Peer* to_ = nullptr;
    bool sending_ = false;
};

inline Wire& wire(void* socket) { return *static_cast<Wire*>(socket); }

inline int setsockopt(void* socket, int option, const void* value, size_t size) {
    if (option != laplace::ZMQ_RCVTIMEO || size != sizeof(int)) std::abort();
    std::memcpy(&wire(socket).timeout_ms, value, size);
    ++wire(socket).timeouts_set;
    return 0;
}

// As that of the real sockets, it sends a message to the ROUTER itself.
class Alarm final : public laplace::Alarm {
public:
    explicit Alarm(Wire& wire) : wire_(wire) {}
    void ring() noexcept override {
        ++wire_.wake_ups;
        wire_.deliver({laplace::ZmqSockets::wake_id, ""});
    }

private:
    Wire& wire_;
};

// Fills the table; messages of the core get the memory that there is. To be called first.
inline void use() {
    laplace::message_memory_fails = [](size_t) noexcept { return failing_memory::fails(); };
    laplace::zmq_api& table = laplace::zmq;
    table.errno_ = [] { return last_error; };
    table.msg_init = msg_init;
    table.msg_init_size = msg_init_size;
    table.msg_init_data = msg_init_data;
    table.msg_close = msg_close;
    table.msg_move = msg_move;
    table.msg_data = [](zmq_msg* msg) -> void* {
        return content(msg).buffer == nullptr ? nullptr : content(msg).buffer->bytes;
    };
    table.msg_size = [](const zmq_msg* msg) { return content(msg).size; };
    table.msg_more = [](const zmq_msg* msg) { return content(msg).more ? 1 : 0; };
    table.msg_recv = [](zmq_msg* msg, void* socket, int flags) { return wire(socket).receive(msg, flags); };
    table.msg_send = [](zmq_msg* msg, void* socket, int flags) { return wire(socket).send(msg, flags); };
    table.setsockopt = setsockopt;
}

}  // namespace memory_zmq

#endif
