#include "requests/job_queue.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/memory.h"

namespace laplace {

namespace {

constexpr size_t large_body = size_t{1} << 20;  // what Python makes of it is larger still
constexpr std::chrono::seconds give_back_after{1};

}  // namespace

using Lock = std::unique_lock<std::mutex>;

void JobQueue::push(Job&& job) {
    {
        const Lock lock(mutex_);
        jobs_.push_back(std::move(job));
        has_more_.store(true);
    }
    ready_.notify_one();
    on_push_();
}

template <typename Record>
bool JobQueue::push_record(std::vector<Record>& list, Record&& record) {
    {
        const Lock lock(mutex_);
        if (list.size() >= log_limit) return false;
        list.push_back(std::move(record));
        log_ready_ = true;
        has_more_.store(true);
    }
    ready_.notify_one();
    return true;
}

bool JobQueue::push_log(Answered&& record) { return push_record(log_, std::move(record)); }

bool JobQueue::push_refusal(Refused&& record) { return push_record(refusals_, std::move(record)); }

bool JobQueue::push_denial(Denied&& record) { return push_record(denials_, std::move(record)); }

bool JobQueue::next_locked(Job& job, Attention& attention) noexcept {
    if (closed_) {
        attention = Attention::closed;
        return true;
    }
    if (must_look()) {
        attention = Attention::log;
        return true;
    }
    // In turn, so that neither keeps the other waiting.
    if (log_ready_ && (jobs_.empty() || !logged_last_)) {
        log_ready_ = false;
        logged_last_ = true;
        attention = Attention::log;
        return true;
    }
    if (jobs_.empty()) {
        has_more_.store(false);
        return false;
    }
    logged_last_ = false;
    job = std::move(jobs_.front());
    jobs_.pop_front();
    spin_.over(now_ns());
    if (job.body.size() >= large_body) give_back_soon();
    attention = Attention::job;
    return true;
}

bool JobQueue::must_look() noexcept {
    if (look_period_ == 0) return false;
    const uint64_t now = now_ns();
    if (now < look_at_) return false;
    look_at_ = now + look_period_;
    return true;
}

void JobQueue::look_each(uint64_t period_ns) noexcept {
    {
        const Lock lock(mutex_);
        if (look_period_ != 0) return;
        look_period_ = period_ns;
        look_at_ = now_ns() + period_ns;
    }
    ready_.notify_one();
}

bool JobQueue::try_next(Job& job, Attention& attention) noexcept {
    const Lock lock(mutex_, std::try_to_lock);
    return lock && next_locked(job, attention);
}

bool JobQueue::empty() noexcept {
    const Lock lock(mutex_);
    return jobs_.empty();
}

void JobQueue::look_again() noexcept {
    while (!has_more_.load()) {
        const uint64_t now = now_ns();
        if (!spin_.brisk()) return spin_.sleep(now);
        if (!spin_.again(now)) return;
        std::this_thread::yield();
    }
}

Attention JobQueue::next(Job& job) noexcept {
    look_again();
    Attention attention;
    Lock lock(mutex_);
    while (!next_locked(job, attention)) {
        if (Clock::now() < give_back_at_) {
            wait_locked(lock);
        } else {
            give_back_at_ = Clock::time_point::max();
            lock.unlock();
            give_back_memory();
            lock.lock();
        }
    }
    return attention;
}

// Until something comes, or there is something to do by the clock.
void JobQueue::wait_locked(Lock& lock) noexcept {
    auto until = give_back_at_;
    if (look_period_ != 0) {
        const uint64_t now = now_ns();
        until = std::min(until, Clock::now() + std::chrono::nanoseconds(look_at_ > now ? look_at_ - now : 0));
    }
    if (until == Clock::time_point::max()) {
        ready_.wait(lock);
    } else {
        ready_.wait_until(lock, until);
    }
}

void JobQueue::give_back_soon() noexcept {
    if (give_back_at_ == Clock::time_point::max()) give_back_at_ = Clock::now() + give_back_after;
}

void JobQueue::give_back() noexcept {
    {
        const Lock lock(mutex_);
        give_back_soon();
    }
    ready_.notify_one();
}

template <typename Record>
std::vector<Record> JobQueue::take_records(std::vector<Record>& list) noexcept {
    std::vector<Record> records;
    const Lock lock(mutex_);
    records.swap(list);
    return records;
}

std::vector<Answered> JobQueue::take_log() noexcept { return take_records(log_); }

std::vector<Refused> JobQueue::take_refusals() noexcept { return take_records(refusals_); }

std::vector<Denied> JobQueue::take_denials() noexcept { return take_records(denials_); }

void JobQueue::shut() noexcept {
    {
        const Lock lock(mutex_);
        closed_ = true;
        has_more_.store(true);
    }
    ready_.notify_all();
}

std::deque<Job> JobQueue::close() noexcept {
    std::deque<Job> unbegun;
    {
        const Lock lock(mutex_);
        closed_ = true;
        has_more_.store(true);
        unbegun.swap(jobs_);
    }
    ready_.notify_all();
    return unbegun;
}

}  // namespace laplace
