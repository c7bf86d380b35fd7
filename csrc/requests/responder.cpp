#include "requests/responder.h"

#include <cstring>
#include <new>
#include <utility>

namespace laplace {

namespace {

DocumentId document_of(const Request& request) noexcept {
    return request.command->action == Action::get ? DocumentId::data : DocumentId::info;
}

}  // namespace

Responder::Responder(Settings settings, Documents& documents, JobQueue& jobs, Counters& counters,
                     std::function<std::string()> more_info)
    : settings_(settings), documents_(documents), jobs_(jobs), counters_(counters), more_info_(std::move(more_info)) {
    fetch_table();
}

void Responder::fetch_table() noexcept {
    reply_cache_.clear();
    table_epoch_ = settings_.table.epoch();  // first: a table that comes now is fetched again
    table_ = settings_.table.get();
}

const Request& Responder::inspect(std::string_view body, bool one_frame, Role role) noexcept {
    if (one_frame) {
        if (const CachedReply* const cached = reply_cache_.find(body, role)) return cached->request;
    }
    inspected_ = Request();
    inspected_.role = role;
    inspected_.one_frame = one_frame;
    if (!one_frame) return inspected_;
    inspected_.body = body;
    inspected_.verdict = ls_scan(body.data(), body.size(), &inspected_.envelope);
    inspected_.command = table_->find(inspected_.verdict, inspected_.envelope);
    return inspected_;
}

const Message* Responder::known_reply(const Request& request, uint64_t now) const noexcept {
    const CachedReply* const cached = request.cached;
    if (cached == nullptr || !cached->has_reply || stopping_ || log_is_due(now)) return nullptr;
    const Action action = request.command->action;
    const bool holds = action == Action::ping || (action == Action::get && !take(request) &&
                                                  documents_.is_still(document_of(request), cached->state));
    return holds ? &cached->reply : nullptr;
}

Step Responder::begin(const Request& request, uint64_t now, Ticket& ticket, Answer& answer) {
    answer.command = request.command != nullptr ? request.command->index : 0;
    if (stopping_) {
        answer_stopping(request, answer);
        return Step::ready;
    }
    if (!is_native(request)) return Step::python;
    if (request.denied()) {
        answer_denied(request, answer);
        return Step::ready;
    }
    Content content;
    if (request.command->action != Action::ping &&
        !documents_.read(document_of(request), take(request), ticket, content, &answer.taken)) {
        return Step::waiting;
    }
    tell(request, now, content, answer);
    return Step::ready;
}

Step Responder::go_on(const Request& request, uint64_t now, Ticket& ticket, uint64_t& deadline, Answer& answer) {
    if (!is_native(request)) return Step::python;
    if (request.denied()) {  // its right was taken away meanwhile
        answer_denied(request, answer);
        return Step::ready;
    }
    const DocumentId which = document_of(request);
    Content content;
    if (!documents_.read(which, take(request), ticket, content, &answer.taken)) {
        if (now < deadline && !stopping_) return Step::waiting;
        // No refresh was made in time: what there is will do, unless something newer was handed over
        // before the request came, whose text is still being made.
        if (documents_.read_now(which, take(request), ticket, content, &answer.taken)) {
            tally(counters_.stale_gets);
        } else if (stopping_) {
            answer_stopping(request, answer);
            return Step::ready;
        } else {
            deadline = UINT64_MAX;
            return Step::waiting;
        }
    }
    tell(request, now, content, answer);
    return Step::ready;
}

void Responder::tell(const Request& request, uint64_t now, Content& content, Answer& answer) {
    if (content.is_error) {
        answer_error(request, *content.text, ErrorKind::data, answer);
        return;
    }
    if (request.command->action == Action::info) add_more_info(content.text);
    if (!make_reply(request, content, answer)) {
        put_back(answer.taken);
        throw std::bad_alloc();
    }
    if (log_is_due(now)) log(request, now);
}

// Such as tells of this moment.
void Responder::add_more_info(Text& text) {
    const std::string more = more_info_();
    if (more.empty()) return;
    std::string whole = *text;
    whole.pop_back();  // the closing brace of an object that is not empty
    whole += ',' + more + '}';
    text = std::make_shared<const std::string>(std::move(whole));
}

// The reply that tells the text; false without memory.
bool Responder::make_reply(const Request& request, const Content& content, Answer& answer) noexcept {
    const Text& text = content.text;
    CachedReply* const cached = request.cached;
    if (cached != nullptr && cached->tells(text)) {
        cached->state = content.state;
        answer.reply = cached->reply.share();
        return true;
    }
    Fillings fillings{};
    fillings[Hole::to] = DispatchTable::text(request.envelope.from);
    fillings[Hole::version] = DispatchTable::text(request.envelope.version);
    if (text) fillings[Hole::body] = *text;
    const ReplyTemplate& pieces = request.command->action == Action::ping   ? table_->ping
                                  : request.command->action == Action::info ? table_->info
                                                                           : table_->get;
    if (!pieces.render(fillings, answer.reply)) return false;
    if (answer.taken) return true;  // told once: it will not be asked for again
    if (cached != nullptr) {
        ReplyCache::renew(*cached, content, answer.reply);
    } else {
        reply_cache_.keep(request, content, answer.reply);
    }
    return true;
}

void Responder::answer_denied(const Request& request, Answer& answer) {
    const std::string text = table_->denial(request.role, request.envelope);
    answer_error(request, text, ErrorKind::not_permitted, answer);
    answer.denied = true;
}

void Responder::answer_error(const Request& request, const std::string& text, ErrorKind kind, Answer& answer) {
    const ls_envelope& envelope = request.envelope;
    Fillings fillings{};
    fillings[Hole::to] = envelope.from.kind != LS_ABSENT ? DispatchTable::text(envelope.from) : table_->unknown;
    fillings[Hole::cmd] = envelope.cmd.kind != LS_ABSENT ? DispatchTable::text(envelope.cmd) : table_->unknown;
    fillings[Hole::version] = table_->reply_version(request.verdict, envelope);
    fillings[Hole::error] = text;
    if (!table_->error.render(fillings, answer.reply)) throw std::bad_alloc();
    answer.error = kind;
}

// Of a message over a limit nothing is known but whom to tell.
void Responder::answer_refused(Refusal refusal, Answer& answer) {
    const bool large = refusal == Refusal::message_size;
    answer_error(Request{}, large ? table_->too_large : table_->too_many_frames, ErrorKind::malformed, answer);
}

void Responder::log(const Request& request, uint64_t now) noexcept {
    log_checked_ = now;
    try {
        const std::string_view from = DispatchTable::text(request.envelope.from).substr(0, JobQueue::from_limit);
        if (jobs_.push_log({request.command->index, std::string(from)})) return;
    } catch (const std::bad_alloc&) {
    }
    tally(counters_.of(ErrorKind::log_dropped));
}

// ---- what Python made

bool Responder::finish(PythonReply& reply, Answer& answer) noexcept {
    answer.native = false;
    answer.command = reply.command;
    answer.error = reply.error;
    answer.denied = reply.denied;
    answer.taken = std::move(reply.taken);
    reply.taken = Taken{};
    if (reply.render == Render::get) return render_get(reply, answer);
    if (reply.render == Render::nothing) {
        if (!answer.reply.allocate(reply.reply.size())) return false;
        if (!reply.reply.empty()) std::memcpy(answer.reply.data(), reply.reply.data(), reply.reply.size());
        return true;
    }
    answer.arrays = std::move(reply.arrays);
    Fillings fillings{};
    fillings[Hole::to] = reply.to;
    fillings[Hole::version] = reply.version;
    fillings[Hole::body] = reply.reply;
    return table_->arrays.render(fillings, answer.reply);
}

bool Responder::render_get(const PythonReply& reply, Answer& answer) noexcept {
    static constexpr std::string_view get_name = "\"GET\"";
    Content content;
    const bool take = settings_.take_after_get.load(std::memory_order_relaxed);
    // Its handler has seen to it that there is a text of all that it set.
    (void)documents_.read_now(DocumentId::data, take, Ticket{}, content, &answer.taken);
    Fillings fillings{};
    fillings[Hole::to] = reply.to;
    fillings[Hole::version] = reply.version;
    fillings[Hole::cmd] = get_name;
    fillings[content.is_error ? Hole::error : Hole::body] = *content.text;
    if (content.is_error) answer.error = ErrorKind::data;
    return (content.is_error ? table_->error : table_->get).render(fillings, answer.reply);
}

void Responder::put_back(Taken& taken) noexcept {
    if (taken) documents_.put_back(DocumentId::data, taken);
    taken = Taken{};
}

}  // namespace laplace
