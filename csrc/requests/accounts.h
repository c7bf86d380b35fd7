// What has become of answers: in the counters, and, of those that refuse what a role does not permit, in
// the log. Used by whoever has the turn.
#ifndef LAPLACE_ACCOUNTS_H
#define LAPLACE_ACCOUNTS_H

#include <cstdint>

#include "base/clock.h"
#include "base/counters.h"
#include "requests/answer.h"
#include "requests/denials.h"
#include "requests/job_queue.h"
#include "transport/connection.h"

namespace laplace {

class Accounts {
public:
    Accounts(Counters& counters, Denials& denials, JobQueue& log) noexcept
        : counters_(counters), denials_(denials), log_(log) {}

    // It has been sent.
    void sent(const Answer& answer, const Connection& to, uint64_t arrived) noexcept {
        const uint64_t now = now_ns();
        Counters::PerCommand& command = counters_.commands[answer.command];
        if (answer.native) {
            tally(command.native);
            counters_.native_latency.record(now - arrived);
        } else {
            tally(command.python);
            counters_.python_latency.record(now - arrived);
        }
        if (answer.error != ErrorKind::none) failed(answer, to, now);
    }
    // It will not be.
    void lost(const Answer& answer, const Connection& to, ErrorKind why) noexcept {
        tally(counters_.of(why));
        if (answer.error != ErrorKind::none) failed(answer, to, now_ns());
    }

private:
    void failed(const Answer& answer, const Connection& to, uint64_t now) noexcept {
        tally(counters_.of(answer.error));
        if (answer.denied) denials_.note(now, to, answer.command, log_);
    }

    Counters& counters_;
    Denials& denials_;
    JobQueue& log_;
};

}  // namespace laplace

#endif
