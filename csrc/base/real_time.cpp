#include "base/real_time.h"

#ifdef __linux__
#include <pthread.h>
#include <sched.h>

#include <new>
#include <system_error>
#include <thread>

#include "base/signals.h"
#endif

namespace laplace {

#ifdef __linux__

RealTime real_time() noexcept { return {SCHED_RR, sched_get_priority_min(SCHED_RR)}; }

bool become_real_time() noexcept {
    const RealTime wanted = real_time();
    sched_param parameters{};
    parameters.sched_priority = wanted.priority;
    return pthread_setschedparam(pthread_self(), wanted.policy, &parameters) == 0;
}

// Tried by a thread made for it: what the calling one had could not be restored in all cases.
bool may_be_real_time() noexcept {
    bool may = false;
    try {
        const SignalsBlocked blocked;
        std::thread([&may]() noexcept { may = become_real_time(); }).join();
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
    return may;
}

#else

RealTime real_time() noexcept { return {0, 0}; }
bool may_be_real_time() noexcept { return false; }
bool become_real_time() noexcept { return false; }

#endif

}  // namespace laplace
