#include "handover.h"

#include <utility>

namespace laplace {

using Lock = std::unique_lock<std::mutex>;

void Inbox::push(Job&& job) {
    {
        const Lock lock(mutex_);
        jobs_.push_back(std::move(job));
    }
    ready_.notify_one();
}

bool Inbox::push_log(Answered&& record) {
    {
        const Lock lock(mutex_);
        if (log_.size() >= log_limit) return false;
        log_.push_back(std::move(record));
        log_ready_ = true;
    }
    ready_.notify_one();
    return true;
}

bool Inbox::next_locked(Job& job, Attention& attention) noexcept {
    if (closed_) {
        attention = Attention::closed;
        return true;
    }
    // In turn, so that neither keeps the other waiting.
    if (log_ready_ && (jobs_.empty() || !logged_last_)) {
        log_ready_ = false;
        logged_last_ = true;
        attention = Attention::log;
        return true;
    }
    if (jobs_.empty()) return false;
    logged_last_ = false;
    job = std::move(jobs_.front());
    jobs_.pop_front();
    attention = Attention::job;
    return true;
}

bool Inbox::try_next(Job& job, Attention& attention) noexcept {
    const Lock lock(mutex_, std::try_to_lock);
    return lock && next_locked(job, attention);
}

Attention Inbox::next(Job& job) noexcept {
    Attention attention;
    Lock lock(mutex_);
    while (!next_locked(job, attention)) ready_.wait(lock);
    return attention;
}

std::vector<Answered> Inbox::take_log() noexcept {
    std::vector<Answered> records;
    const Lock lock(mutex_);
    records.swap(log_);
    return records;
}

void Inbox::shut() noexcept {
    {
        const Lock lock(mutex_);
        closed_ = true;
    }
    ready_.notify_all();
}

std::deque<Job> Inbox::close() noexcept {
    std::deque<Job> unbegun;
    {
        const Lock lock(mutex_);
        closed_ = true;
        unbegun.swap(jobs_);
    }
    ready_.notify_all();
    return unbegun;
}

void Outbox::push(Finished&& finished) {
    const Lock lock(mutex_);
    finished_.push_back(std::move(finished));
}

std::vector<Finished> Outbox::take() noexcept {
    std::vector<Finished> finished;
    const Lock lock(mutex_);
    finished.swap(finished_);
    return finished;
}

}  // namespace laplace
