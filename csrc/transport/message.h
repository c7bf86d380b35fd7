// Bytes that are shared, not copied: a frame, a request, a reply.
#ifndef LAPLACE_MESSAGE_H
#define LAPLACE_MESSAGE_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string_view>
#include <utility>

#include "base/memory.h"

namespace laplace {

// Tests say here which memory, by its size, messages do not get.
inline bool (*message_memory_fails)(size_t) noexcept = nullptr;

// Refers to bytes; the last message that does so frees them, in whatever thread.
class Message {
public:
    Message() noexcept = default;
    ~Message() { drop(); }
    Message(Message&& other) noexcept
        : buffer_(std::exchange(other.buffer_, nullptr)),
          data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)) {}
    Message& operator=(Message&& other) noexcept {
        if (this != &other) {
            drop();
            buffer_ = std::exchange(other.buffer_, nullptr);
            data_ = std::exchange(other.data_, nullptr);
            size_ = std::exchange(other.size_, 0);
        }
        return *this;
    }
    Message(const Message&) = delete;
    Message& operator=(const Message&) = delete;

    // Replaces the content by `size` bytes to be written; false without memory, and then it is empty.
    [[nodiscard]] bool allocate(size_t size) noexcept {
        *this = Message();
        if (size == 0) return true;
        if (size > SIZE_MAX - header_size || fails(header_size + size)) return false;
        void* const memory = std::malloc(header_size + size);
        if (memory == nullptr) return false;
        own(memory, size);
        return true;
    }
    // Makes the bytes more or fewer, and keeps those that stay. Only of bytes of its own that it shares
    // with nobody. False without memory, and then nothing has changed.
    [[nodiscard]] bool resize(size_t size) noexcept {
        if (size > SIZE_MAX - header_size || fails(header_size + size)) return false;
        bool is_mapped = buffer_ != nullptr && buffer_->is_mapped;
        const size_t before = buffer_ == nullptr ? 0 : buffer_->allocated;
        void* const memory = resize_memory(buffer_, before, header_size + size, is_mapped);
        if (memory == nullptr) return false;
        own(memory, size);
        buffer_->is_mapped = is_mapped;
        return true;
    }
    // Refers to `size` bytes at `data` until nobody has use for them and `release` is called with `data`
    // and `owner`, in whatever thread; false without memory, and then `release` is not called.
    [[nodiscard]] bool borrow(void* data, size_t size, void (*release)(void*, void*), void* owner) noexcept {
        *this = Message();
        if (fails(sizeof(Buffer))) return false;
        void* const memory = std::malloc(sizeof(Buffer));
        if (memory == nullptr) return false;
        buffer_ = new (memory) Buffer;
        buffer_->allocated = sizeof(Buffer);
        buffer_->release = release;
        buffer_->owner = owner;
        data_ = static_cast<char*>(data);
        size_ = size;
        return true;
    }
    // Another one that refers to the same bytes, which neither may change from now on.
    Message share() const noexcept {
        Message other;
        if (buffer_ != nullptr) buffer_->references.fetch_add(1, std::memory_order_relaxed);
        other.buffer_ = buffer_;
        other.data_ = data_;
        other.size_ = size_;
        return other;
    }
    char* data() noexcept { return data_; }
    const char* data() const noexcept { return data_; }
    size_t size() const noexcept { return size_; }
    std::string_view view() const noexcept { return {data_, size_}; }

private:
    struct Buffer {
        std::atomic<size_t> references{1};
        size_t allocated = 0;                      // with this
        void (*release)(void*, void*) = nullptr;  // null: the bytes lie behind this
        void* owner = nullptr;
        bool is_mapped = false;
    };
    static constexpr size_t header_size = (sizeof(Buffer) + alignof(std::max_align_t) - 1) / alignof(std::max_align_t) *
                                          alignof(std::max_align_t);

    static bool fails(size_t size) noexcept { return message_memory_fails != nullptr && message_memory_fails(size); }

    // Takes memory for a buffer and its bytes, of which one may be there already.
    void own(void* memory, size_t size) noexcept {
        buffer_ = buffer_ == nullptr ? new (memory) Buffer : static_cast<Buffer*>(memory);
        buffer_->allocated = header_size + size;
        data_ = static_cast<char*>(memory) + header_size;
        size_ = size;
    }
    void drop() noexcept {
        if (buffer_ == nullptr || buffer_->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
        if (buffer_->release != nullptr) buffer_->release(data_, buffer_->owner);
        const size_t allocated = buffer_->allocated;
        const bool is_mapped = buffer_->is_mapped;
        buffer_->~Buffer();
        free_memory(buffer_, allocated, is_mapped);
    }

    Buffer* buffer_ = nullptr;
    char* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace laplace

#endif
