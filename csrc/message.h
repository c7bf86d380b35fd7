// Owners of libzmq messages. A zmq_msg must not be copied bit by bit, so a
// Message moves through libzmq and closes itself.
#ifndef LAPLACE_MESSAGE_H
#define LAPLACE_MESSAGE_H

#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "zmq_api.h"

namespace laplace {

class Message {
public:
    Message() noexcept { zmq.msg_init(&msg_); }
    ~Message() { zmq.msg_close(&msg_); }
    Message(Message&& other) noexcept {
        zmq.msg_init(&msg_);
        zmq.msg_move(&msg_, &other.msg_);
    }
    Message& operator=(Message&& other) noexcept {
        if (this != &other) zmq.msg_move(&msg_, &other.msg_);
        return *this;
    }
    Message(const Message&) = delete;
    Message& operator=(const Message&) = delete;

    // Replaces the content by `size` bytes to be written; false without memory.
    [[nodiscard]] bool allocate(size_t size) noexcept {
        zmq.msg_close(&msg_);
        if (zmq.msg_init_size(&msg_, size) == 0) return true;
        zmq.msg_init(&msg_);
        return false;
    }
    // Refers to `size` bytes at `data` until libzmq has no more use for them and calls `release` with
    // `owner`, in whatever thread; false without memory, and then `release` is not called.
    [[nodiscard]] bool borrow(void* data, size_t size, void (*release)(void*, void*), void* owner) noexcept {
        zmq.msg_close(&msg_);
        if (zmq.msg_init_data(&msg_, data, size, release, owner) == 0) return true;
        zmq.msg_init(&msg_);
        return false;
    }
    // Refers to the same bytes as another, which neither may change from now on.
    [[nodiscard]] bool share(Message& other) noexcept { return zmq.msg_copy(&msg_, &other.msg_) == 0; }
    // Counts the content in `account` from now until libzmq has no more use for it, which
    // libzmq may find in a thread of its own. Without memory, nothing happens.
    void count_until_freed(const std::shared_ptr<std::atomic<size_t>>& account) noexcept;
    char* data() noexcept { return static_cast<char*>(zmq.msg_data(&msg_)); }
    size_t size() const noexcept { return zmq.msg_size(&msg_); }
    bool more() const noexcept { return zmq.msg_more(&msg_) != 0; }
    std::string_view view() noexcept { return {data(), size()}; }
    zmq_msg* raw() noexcept { return &msg_; }

private:
    struct Counted;
    zmq_msg msg_;
};

struct Message::Counted {
    Message content;
    std::shared_ptr<std::atomic<size_t>> account;

    static void release(void*, void* hint) {
        Counted* counted = static_cast<Counted*>(hint);
        counted->account->fetch_sub(counted->content.size());
        delete counted;
    }
};

inline void Message::count_until_freed(const std::shared_ptr<std::atomic<size_t>>& account) noexcept {
    Counted* counted = new (std::nothrow) Counted{Message(), account};
    if (counted == nullptr) return;
    const size_t size = this->size();
    counted->content = std::move(*this);
    zmq_msg wrapped;
    if (zmq.msg_init_data(&wrapped, counted->content.data(), size, &Counted::release, counted) != 0) {
        *this = std::move(counted->content);
        delete counted;
        return;
    }
    account->fetch_add(size);
    zmq.msg_move(&msg_, &wrapped);
    zmq.msg_close(&wrapped);
}

// The routing frames of a request up to and including the first empty one,
// echoed verbatim in front of its reply.
using Route = std::vector<Message>;

// Routing frames come from the peer: what libzmq will hold for a reply counts them, too.
inline size_t size_of(const Message* frames, size_t count) noexcept {
    size_t size = 0;
    for (size_t i = 0; i < count; ++i) size += frames[i].size();
    return size;
}

}  // namespace laplace

#endif
