// Signals are for Python's main thread: Ctrl-C must not land in a native one. Those of a thread's own
// faults come to it all the same: blocked, they would end the process without a word of faulthandler's.
#ifndef LAPLACE_SIGNALS_H
#define LAPLACE_SIGNALS_H

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#endif

namespace laplace {

// While one lives, threads begin without any others.
class SignalsBlocked {
public:
#ifdef _WIN32
    SignalsBlocked() noexcept = default;
    ~SignalsBlocked() = default;
#else
    SignalsBlocked() noexcept {
        sigset_t all;
        sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&all, fault);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
#endif
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

#ifndef _WIN32
private:
    sigset_t before_;
#endif
};

}  // namespace laplace

#endif
