// What the refresher sleeps on. Others may hold it longer than the server lives: libzmq's threads
// ring it when they are through with memory that Python lent them.
#ifndef LAPLACE_BELL_H
#define LAPLACE_BELL_H

#include <condition_variable>
#include <mutex>

namespace laplace {

struct Bell {
    std::mutex mutex;
    std::condition_variable rung;
    bool loans_returned = false;  // some can be let go

    void loan_returned() noexcept {
        const std::lock_guard<std::mutex> lock(mutex);
        if (loans_returned) return;
        loans_returned = true;
        rung.notify_one();
    }
};

}  // namespace laplace

#endif
