// What Python's threads that work for the loop do: they take jobs and give their results back.
#ifndef LAPLACE_WORKER_H
#define LAPLACE_WORKER_H

#include <utility>
#include <vector>

#include "server/loop.h"
#include "server/shared.h"

namespace laplace {

class Worker {
public:
    explicit Worker(Shared& shared) noexcept : shared_(shared) {}
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    // See JobQueue.
    bool try_next(Job& job, Attention& attention) noexcept { return shared_.jobs.try_next(job, attention); }
    Attention next(Job& job) noexcept { return shared_.jobs.next(job); }
    // The one job that RefresherTask::jobs tells of; another one is told anew. False: there is none.
    bool try_next_builtin(Job& job) noexcept {
        Attention attention = Attention::closed;
        if (!shared_.builtin_jobs.try_next(job, attention) || attention != Attention::job) return false;
        if (!shared_.builtin_jobs.empty()) shared_.documents.bell()->job_came();
        return true;
    }
    void look_each(uint64_t period_ns) noexcept { shared_.jobs.look_each(period_ns); }
    std::vector<Answered> take_log() noexcept { return shared_.jobs.take_log(); }
    std::vector<Denied> take_denials() noexcept { return shared_.jobs.take_denials(); }
    std::vector<Refused> take_refusals() noexcept { return shared_.jobs.take_refusals(); }
    // False where too many bytes wait for the loop: then finish() waits for room. Both throw std::bad_alloc;
    // then the job is still to be finished.
    [[nodiscard]] bool try_finish(Result& result) {
        InPlace in_place = InPlace::refused;
        if (is_small(result) && shared_.wake_up.turn.try_borrow()) {
            in_place = shared_.loop->send_result(result);
            shared_.wake_up.turn.give_back();
        }
        if (in_place == InPlace::refused && !shared_.results.try_push(result)) return false;
        if (in_place != InPlace::done) shared_.wake();
        return true;
    }
    void finish(Result&& result) {
        if (try_finish(result)) return;
        shared_.results.push(std::move(result));
        shared_.wake();
    }

private:
    // So that its thread, which has the GIL, is not held up by sending it. Of the data, nobody knows here.
    static bool is_small(const Result& result) noexcept {
        constexpr size_t most_bytes = 16 * 1024;
        return result.render == Render::nothing && !result.busy && result.grant.stream == nullptr &&
               result.reply.size() <= most_bytes;
    }

    Shared& shared_;
};

}  // namespace laplace

#endif
