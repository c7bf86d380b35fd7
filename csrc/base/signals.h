// Signals are for Python's main thread: Ctrl-C must not land in a native one.
#ifndef LAPLACE_SIGNALS_H
#define LAPLACE_SIGNALS_H

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#endif

namespace laplace {

// While one lives, threads begin without any.
class SignalsBlocked {
public:
#ifdef _WIN32
    SignalsBlocked() noexcept = default;
    ~SignalsBlocked() = default;
#else
    SignalsBlocked() noexcept {
        sigset_t all;
        sigfillset(&all);
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
