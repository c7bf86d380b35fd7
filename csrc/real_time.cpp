#include "real_time.h"

#ifndef _WIN32
#include <pthread.h>
#include <sched.h>
#endif

namespace laplace {

#ifdef _WIN32

// libzmq's threads have no such setting there.
RealTime real_time() noexcept { return {0, 0}; }
bool may_be_real_time() noexcept { return false; }
bool become_real_time() noexcept { return false; }

#else

RealTime real_time() noexcept { return {SCHED_RR, sched_get_priority_min(SCHED_RR)}; }

bool become_real_time() noexcept {
    const RealTime wanted = real_time();
    sched_param parameters{};
    parameters.sched_priority = wanted.priority;
    return pthread_setschedparam(pthread_self(), wanted.policy, &parameters) == 0;
}

// Tried by the calling thread, which is as it was afterwards.
bool may_be_real_time() noexcept {
    int policy = 0;
    sched_param before{};
    if (pthread_getschedparam(pthread_self(), &policy, &before) != 0 || !become_real_time()) return false;
    return pthread_setschedparam(pthread_self(), policy, &before) == 0;
}

#endif

}  // namespace laplace
