// The two queues between the loop and the ServerLHC thread: requests that need
// Python one way, finished ones the other. Plain mutex, condition variable, deque.
#ifndef LAPLACE_HANDOVER_H
#define LAPLACE_HANDOVER_H

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "documents.h"
#include "message.h"
#include "subscribers.h"

namespace laplace {

// A request on its way to Python.
struct Job {
    uint64_t id = 0;
    Message body;
    bool strict = false;     // strict JSON: orjson may decode it
    bool one_frame = true;   // false: the body came in several frames or none
};

// Whether the reply is complete, or the loop puts the envelope of GET around the data of that moment,
// or that of GET ARRAYS around what there is.
enum render { RENDER_NOTHING, RENDER_GET, RENDER_ARRAYS };

// What Python made of a job.
struct Finished {
    uint64_t id = 0;
    std::string reply;
    int render = RENDER_NOTHING;
    std::vector<Message> arrays;  // frames behind the reply
    Taken taken;                  // a value only this reply carries
    std::string to, version;      // JSON texts for a rendered reply
    unsigned command = 0;     // index of its counters
    int error = 0;            // an error_kind
    Subscription subscription;  // begins with the reply
};

// A native answer, told to the log at DEBUG.
struct Answered {
    unsigned command;
    std::string from;  // JSON text, cut at Inbox::from_limit
};

enum class Attention { job, log, closed };

// Loop to Python.
class Inbox {
public:
    static constexpr size_t log_limit = 1024;
    static constexpr size_t from_limit = 64;

    void push(Job&& job);
    // False: the log queue is full and the record was dropped.
    bool push_log(Answered&& record);
    // What there is to do now, without waiting; false for nothing.
    bool try_next(Job& job, Attention& attention) noexcept;
    // Blocks until there is something to do. A closed inbox is drained of nothing:
    // close() has already handed its jobs back.
    Attention next(Job& job) noexcept;
    std::vector<Answered> take_log() noexcept;
    // next() gives nothing more; what is queued waits for close().
    void shut() noexcept;
    // No more jobs; those nobody began go back to the caller.
    std::deque<Job> close() noexcept;

private:
    bool next_locked(Job& job, Attention& attention) noexcept;

    std::mutex mutex_;
    std::condition_variable ready_;
    std::deque<Job> jobs_;
    std::vector<Answered> log_;
    bool log_ready_ = false;
    bool logged_last_ = false;
    bool closed_ = false;
};

// Python to loop.
class Outbox {
public:
    void push(Finished&& finished);
    std::vector<Finished> take() noexcept;

private:
    std::mutex mutex_;
    std::vector<Finished> finished_;
};

}  // namespace laplace

#endif
