// Requests on their way to Python, and what Python makes of them. Plain mutex, condition variable,
// deque.
#ifndef LAPLACE_JOB_QUEUE_H
#define LAPLACE_JOB_QUEUE_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/counters.h"
#include "base/roles.h"
#include "base/spin.h"
#include "documents/documents.h"
#include "transport/message.h"

namespace laplace {

// A request on its way to Python.
struct Job {
    uint64_t id = 0;
    Message body;
    Role role = anonymous_role;   // of who asks
    uint32_t key = no_key;        // the same
    std::string address = {};     // its peer's, as text, where that is all that tells who asks
    bool strict = false;     // strict JSON: orjson may decode it
    bool one_frame = true;   // false: the body came in several frames or none
};

// Whether the reply is complete, or the loop puts the envelope of GET around the data of that moment,
// or that of GET ARRAYS around what there is.
enum class Render { nothing, get, arrays };

// What Python made of a job.
struct PythonReply {
    uint64_t id = 0;
    std::string reply;
    Render render = Render::nothing;
    std::vector<Message> arrays;  // frames behind the reply
    Taken taken;                  // a value only this reply carries
    std::string to, version;      // JSON texts for a rendered reply
    unsigned command = 0;     // index of its counters
    ErrorKind error = ErrorKind::none;
    bool denied = false;  // the error is that the role of who asked does not permit it
};

// A native answer, told to the log at DEBUG.
struct Answered {
    unsigned command;
    std::string from;  // JSON text, cut at JobQueue::from_limit
};

// A connection that was refused or closed, told to the log.
struct Refused {
    Refusal reason = Refusal::not_zmtp;
    std::string address;  // its peer's, as text
    uint64_t more = 0;    // such ones that were told to nobody since the last record of this reason
    std::string key = {};  // its peer's, where that is why
};

// A request that the role of who asks does not permit, told to the log.
struct Denied {
    Role role = anonymous_role;
    unsigned command = 0;
    std::string address;  // its peer's, as text
    uint64_t more = 0;    // such ones that were told to nobody since the last record of this peer
    uint32_t key = no_key;
};

// `log`: there is something for take_log(), take_refusals() or take_denials().
enum class Attention { job, log, closed };

class JobQueue {
public:
    static constexpr size_t log_limit = 1024;
    static constexpr size_t from_limit = 64;

    // `on_push` is called after each job, for who waits elsewhere.
    explicit JobQueue(std::function<void()> on_push = [] {}) : on_push_(std::move(on_push)) {}

    void push(Job&& job);
    // False: the log queue is full and the record was dropped.
    bool push_log(Answered&& record);
    // The same, and the record is still the caller's then.
    bool push_refusal(Refused&& record);
    bool push_denial(Denied&& record);
    // What there is to do now, without waiting; false for nothing.
    bool try_next(Job& job, Attention& attention) noexcept;
    bool empty() noexcept;
    // Blocks until there is something to do: for one thread. A closed queue is drained of nothing:
    // close() has already handed its jobs back.
    Attention next(Job& job) noexcept;
    std::vector<Answered> take_log() noexcept;
    std::vector<Refused> take_refusals() noexcept;
    std::vector<Denied> take_denials() noexcept;
    // Much memory was freed, or will be in a moment: who waits in next() gives it back to the system, a
    // second later.
    void give_back() noexcept;
    // From now on next() also tells of `log` each time that these ns have passed. Any thread; it counts once.
    void look_each(uint64_t period_ns) noexcept;
    // next() gives nothing more; what is queued waits for close().
    void shut() noexcept;
    // No more jobs; those nobody began go back to the caller.
    std::deque<Job> close() noexcept;

private:
    using Clock = std::chrono::steady_clock;

    // While jobs follow one another this closely, who waits looks again instead of sleeping: to wake it
    // takes longer than most callbacks do.
    static constexpr uint64_t longest_look_ns = 50000;

    template <typename Record>
    bool push_record(std::vector<Record>& list, Record&& record);
    template <typename Record>
    std::vector<Record> take_records(std::vector<Record>& list) noexcept;
    bool next_locked(Job& job, Attention& attention) noexcept;
    void look_again() noexcept;
    void give_back_soon() noexcept;
    bool must_look() noexcept;
    void wait_locked(std::unique_lock<std::mutex>& lock) noexcept;

    const std::function<void()> on_push_;
    std::mutex mutex_;
    std::condition_variable ready_;
    std::deque<Job> jobs_;
    std::vector<Answered> log_;
    std::vector<Refused> refusals_;
    std::vector<Denied> denials_;
    bool log_ready_ = false;
    bool logged_last_ = false;
    bool closed_ = false;
    std::atomic<bool> has_more_{false};  // for who looks again, without the mutex
    Spin spin_{longest_look_ns};         // of who takes jobs
    Clock::time_point give_back_at_ = Clock::time_point::max();
    uint64_t look_period_ = 0, look_at_ = UINT64_MAX;  // ns
};

}  // namespace laplace

#endif
