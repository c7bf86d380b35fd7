// Real-time scheduling, for threads that need a core for microseconds while others compute: the
// scheduler lets those go on for milliseconds where it has no other core. Linux alone: elsewhere the
// classes mean other things, and libzmq's threads do not take them.
#ifndef LAPLACE_REAL_TIME_H
#define LAPLACE_REAL_TIME_H

namespace laplace {

// The class and the priority in it, for libzmq's threads: the lowest one that comes before all
// threads without any.
struct RealTime {
    int policy, priority;
};
RealTime real_time() noexcept;

// Whether the system permits it to this process.
bool may_be_real_time() noexcept;

// Makes it so for the calling thread; false where that is not permitted.
bool become_real_time() noexcept;

}  // namespace laplace

#endif
