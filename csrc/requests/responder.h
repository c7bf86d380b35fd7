// Answers, without Python where it may: the scan and the table say what is asked, the documents what
// there is to tell, and templates how. Used by the loop alone. Knows nothing of peers.
#ifndef LAPLACE_RESPONDER_H
#define LAPLACE_RESPONDER_H

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/counters.h"
#include "documents/documents.h"
#include "requests/answer.h"
#include "requests/dispatch.h"
#include "requests/job_queue.h"
#include "requests/reply_cache.h"

namespace laplace {

// How far an answer has come.
enum class Step {
    ready,
    python,  // it is Python's to make, in either of its threads
    waiting  // for a text of the present data
};

class Responder {
public:
    // What others set while the loop runs.
    struct Settings {
        CurrentTable& table;
        const std::atomic<bool>& take_after_get;  // each value is told once
        const std::atomic<bool>& log_answers;
    };
    // `more_info` gives further members of INFO's payload, or nothing.
    Responder(Settings settings, Documents& documents, JobQueue& jobs, Counters& counters,
              std::function<std::string()> more_info);

    // To be called before each message.
    void use_current_table() noexcept {
        if (settings_.table.epoch() != table_epoch_) fetch_table();
    }
    // What it returns holds until the next call.
    const Request& inspect(std::string_view body, bool one_frame, Role role) noexcept;
    // The reply that begin() would make, where that has been made before and there is nothing else to do:
    // null where it has to be called.
    const Message* known_reply(const Request& request, uint64_t now) const noexcept;
    // Whether the request need not go to Python.
    static bool is_native(const Request& request) noexcept {
        return request.action() != Action::python && request.action() != Action::builtin;
    }
    // Whether clients may do different things.
    bool tells_roles_apart() const noexcept { return !table_->role_names.empty(); }
    // Whether a role permits a command, by its number, now.
    bool permits(Role role, unsigned command) const noexcept { return includes(table_->roles_of(command), role); }
    // The following throw std::bad_alloc; then nothing was taken.
    Step begin(const Request& request, uint64_t now, Ticket& ticket, Answer& answer);
    // For who was told to wait. After the deadline what there is will do; it is moved where even that is
    // too old. Where the command got a handler meanwhile, it is Python's.
    Step go_on(const Request& request, uint64_t now, Ticket& ticket, uint64_t& deadline, Answer& answer);
    void answer_busy(const Request& request, Answer& answer) { answer_error(request, table_->busy, ErrorKind::busy, answer); }
    void answer_stopping(const Request& request, Answer& answer) {
        answer_error(request, table_->stopping, ErrorKind::stopping, answer);
    }
    // Of a request that Python has: what becomes of it nobody knows, so it must not be called refused.
    void answer_stopping_begun(Answer& answer) {
        answer_error(Request{}, table_->stopping_begun, ErrorKind::stopping, answer);
    }
    void answer_refused(Refusal refusal, Answer& answer);
    // Python's reply; false without memory.
    [[nodiscard]] bool finish(PythonReply& reply, Answer& answer) noexcept;
    // It will not be sent.
    void put_back(Taken& taken) noexcept;

    // From now on whoever asks is told that the server stops.
    void stop() noexcept { stopping_ = true; }
    bool stopping() const noexcept { return stopping_; }

private:
    void fetch_table() noexcept;
    bool take(const Request& request) const noexcept {
        return request.command->action == Action::get && settings_.take_after_get.load(std::memory_order_relaxed);
    }
    void tell(const Request& request, uint64_t now, Content& content, Answer& answer);
    void add_more_info(Text& text);
    bool make_reply(const Request& request, const Content& content, Answer& answer) noexcept;
    bool log_is_due(uint64_t now) const noexcept {
        return settings_.log_answers.load(std::memory_order_relaxed) || now - log_checked_ > log_check_ns;
    }
    void answer_denied(const Request& request, Answer& answer);
    void answer_error(const Request& request, const std::string& text, ErrorKind kind, Answer& answer);
    bool render_get(const PythonReply& reply, Answer& answer) noexcept;
    void log(const Request& request, uint64_t now) noexcept;

    static constexpr uint64_t log_check_ns = 1000 * ns_per_ms;

    const Settings settings_;
    Documents& documents_;
    JobQueue& jobs_;
    Counters& counters_;
    const std::function<std::string()> more_info_;
    uint64_t table_epoch_ = 0;
    std::shared_ptr<const DispatchTable> table_;
    ReplyCache reply_cache_;
    Request inspected_;
    uint64_t log_checked_ = 0;
    bool stopping_ = false;
};

}  // namespace laplace

#endif
