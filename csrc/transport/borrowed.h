// Buffers of Python that messages borrow. Whoever lets go of the last message that shows one (the loop, or
// a thread of libzmq's) says so without Python, and rings for the refresher; the buffer is let go with the
// GIL, by whoever looks first.
#ifndef LAPLACE_BORROWED_H
#define LAPLACE_BORROWED_H

#include <atomic>
#include <memory>
#include <new>

#include "base/bell.h"
#include "transport/message.h"

namespace laplace {

struct BorrowedBuffer {
    void* object;
    BorrowedBuffer* next;
    std::shared_ptr<Bell> bell;  // of the server whose it was
};

// Of the process, not of a server: a message may outlive it.
inline std::atomic<BorrowedBuffer*> returned_buffers{nullptr};

inline void return_buffer(void*, void* hint) noexcept {
    BorrowedBuffer* const buffer = static_cast<BorrowedBuffer*>(hint);
    // Another thread may free the buffer once it is in the list.
    const std::shared_ptr<Bell> bell = std::move(buffer->bell);
    buffer->next = returned_buffers.load(std::memory_order_relaxed);
    while (!returned_buffers.compare_exchange_weak(buffer->next, buffer, std::memory_order_release,
                                                 std::memory_order_relaxed)) {
    }
    bell->buffer_returned();
}

// Makes a message of an object's memory. False without memory; then the object stays the caller's.
[[nodiscard]] inline bool borrow_buffer(Message& message, void* object, void* data, size_t size,
                               const std::shared_ptr<Bell>& bell) noexcept {
    BorrowedBuffer* const buffer = new (std::nothrow) BorrowedBuffer{object, nullptr, bell};
    if (buffer == nullptr) return false;
    if (message.borrow(data, size, &return_buffer, buffer)) return true;
    delete buffer;
    return false;
}

inline bool any_returned() noexcept { return returned_buffers.load(std::memory_order_relaxed) != nullptr; }

// All that can be let go, linked; they are the caller's.
inline BorrowedBuffer* take_returned() noexcept { return returned_buffers.exchange(nullptr, std::memory_order_acquire); }

inline void free_buffer(BorrowedBuffer* buffer) noexcept { delete buffer; }

}  // namespace laplace

#endif
