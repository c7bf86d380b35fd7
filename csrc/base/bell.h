// What the refresher sleeps on. Others may hold it longer than the server lives: whoever is through with
// memory that was borrowed from Python rings it. The loop does when there are jobs.
#ifndef LAPLACE_BELL_H
#define LAPLACE_BELL_H

#include <condition_variable>
#include <mutex>

namespace laplace {

struct Bell {
    std::mutex mutex;
    std::condition_variable rung;
    bool buffers_returned = false;  // some can be let go
    bool jobs_came = false;

    void buffer_returned() noexcept {
        const std::lock_guard<std::mutex> lock(mutex);
        if (buffers_returned) return;
        buffers_returned = true;
        rung.notify_one();
    }
    void job_came() noexcept {
        const std::lock_guard<std::mutex> lock(mutex);
        jobs_came = true;
        rung.notify_one();
    }
};

}  // namespace laplace

#endif
