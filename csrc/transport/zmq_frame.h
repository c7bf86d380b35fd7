// Owner of a frame of libzmq's. A zmq_msg must not be copied bit by bit, so it moves through libzmq and
// closes itself.
#ifndef LAPLACE_ZMQ_FRAME_H
#define LAPLACE_ZMQ_FRAME_H

#include <atomic>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "transport/message.h"
#include "transport/zmq_api.h"

namespace laplace {

class ZmqFrame {
public:
    ZmqFrame() noexcept { zmq.msg_init(&msg_); }
    ~ZmqFrame() { zmq.msg_close(&msg_); }
    ZmqFrame(ZmqFrame&& other) noexcept {
        zmq.msg_init(&msg_);
        zmq.msg_move(&msg_, &other.msg_);
    }
    ZmqFrame& operator=(ZmqFrame&& other) noexcept {
        if (this != &other) zmq.msg_move(&msg_, &other.msg_);
        return *this;
    }
    ZmqFrame(const ZmqFrame&) = delete;
    ZmqFrame& operator=(const ZmqFrame&) = delete;

    using Account = std::shared_ptr<std::atomic<size_t>>;

    // Refers to the same bytes as the message, for which `account`, unless it is null, is charged until
    // libzmq has no more use for them, which it may find in a thread of its own. False without memory.
    [[nodiscard]] bool refer_to(const Message& message, const Account& account) noexcept {
        auto* const lent = new (std::nothrow) Lent{message.share(), account};
        if (lent == nullptr) return false;
        zmq.msg_close(&msg_);
        if (zmq.msg_init_data(&msg_, lent->content.data(), lent->content.size(), &Lent::release, lent) != 0) {
            zmq.msg_init(&msg_);
            delete lent;
            return false;
        }
        if (account != nullptr) account->fetch_add(message.size());
        return true;
    }
    // A copy. False without memory.
    [[nodiscard]] bool copy(std::string_view bytes) noexcept {
        zmq.msg_close(&msg_);
        if (zmq.msg_init_size(&msg_, bytes.size()) != 0) {
            zmq.msg_init(&msg_);
            return false;
        }
        if (!bytes.empty()) std::memcpy(zmq.msg_data(&msg_), bytes.data(), bytes.size());
        return true;
    }
    size_t size() const noexcept { return zmq.msg_size(&msg_); }
    bool more() const noexcept { return zmq.msg_more(&msg_) != 0; }
    char* data() noexcept { return static_cast<char*>(zmq.msg_data(&msg_)); }
    std::string_view view() noexcept { return {data(), size()}; }
    zmq_msg* raw() noexcept { return &msg_; }

private:
    struct Lent {
        Message content;
        Account account;

        static void release(void*, void* hint) {
            Lent* const lent = static_cast<Lent*>(hint);
            if (lent->account != nullptr) lent->account->fetch_sub(lent->content.size());
            delete lent;
        }
    };
    zmq_msg msg_;
};

}  // namespace laplace

#endif
