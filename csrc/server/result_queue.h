// What Python made of jobs, on its way to the loop. Bounded in bytes: whoever makes replies faster than the
// loop takes them waits, so that no reply to what was carried out is lost.
#ifndef LAPLACE_RESULT_QUEUE_H
#define LAPLACE_RESULT_QUEUE_H

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "requests/job_queue.h"
#include "streams/subscribers.h"

namespace laplace {

struct Result : PythonReply {
    Grant grant;  // the subscription that begins with the reply
    std::string refusal;  // the reply where its connection has as many as it may have
    bool busy = false;  // Python had no memory for the job: there is no reply

    // Bytes that it holds, those of arrays that others hold too among them.
    size_t size() const noexcept {
        size_t bytes = reply.size() + refusal.size();
        for (const Message& array : arrays) bytes += array.size();
        return bytes;
    }
};

class ResultQueue {
public:
    // Holds so many bytes and one result. One of any size always finds room in an empty queue.
    explicit ResultQueue(size_t most_bytes) noexcept : most_bytes_(most_bytes) {}

    // False where it is full; then the result is still the caller's. Throws std::bad_alloc, as push() does.
    [[nodiscard]] bool try_push(Result& result) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (is_full()) return false;
        append(result);
        return true;
    }
    // Waits until there is room. After close() the result is dropped.
    void push(Result&& result) {
        std::unique_lock<std::mutex> lock(mutex_);
        room_.wait(lock, [this] { return !is_full(); });
        append(result);
    }
    // All of them, by the loop.
    std::vector<Result> take() noexcept {
        std::vector<Result> results;
        const std::lock_guard<std::mutex> lock(mutex_);
        empty_into(results);
        return results;
    }
    // The loop has ended: nobody takes them any more, and nobody waits.
    void close() noexcept {
        std::vector<Result> dropped;  // freed without the lock
        const std::lock_guard<std::mutex> lock(mutex_);
        closed_ = true;
        empty_into(dropped);
    }

private:
    bool is_full() const noexcept { return !closed_ && !results_.empty() && bytes_ >= most_bytes_; }
    void append(Result& result) {
        if (closed_) return;
        const size_t size = result.size();
        results_.push_back(std::move(result));
        bytes_ += size;
    }
    void empty_into(std::vector<Result>& results) noexcept {
        const bool others_wait = bytes_ >= most_bytes_;
        results.swap(results_);
        bytes_ = 0;
        if (others_wait || closed_) room_.notify_all();
    }

    const size_t most_bytes_;
    std::mutex mutex_;
    std::condition_variable room_;
    std::vector<Result> results_;
    size_t bytes_ = 0;
    bool closed_ = false;
};

}  // namespace laplace

#endif
