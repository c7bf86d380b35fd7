#include "loop.h"

#include <algorithm>
#include <new>
#include <thread>
#include <utility>

namespace laplace {

namespace {

constexpr uint64_t last_retry_ns = 50000000;
constexpr uint64_t log_check_ns = 1000000000;
constexpr uint64_t drain_ns = 100000000;  // for requests that came just before a stop
constexpr int errors_in_a_row = 100;            // of receiving, before the loop gives up
constexpr size_t longest_route = 4096;          // of a subscription, which keeps it

}  // namespace

Loop::Loop(Shared& shared, void* router, std::string wake_id, int spin_us)
    : shared_(shared), router_(router), wake_id_(std::move(wake_id)), table_(shared.table()), frames_(8),
      spin_(static_cast<uint64_t>(spin_us) * ns_per_us) {}

// ---- receiving

int Loop::run() noexcept {
    int failures = 0;
    for (;;) {
        int error = 0;
        try {
            refresh_table();
            if (shared_.take_mail()) read_mail();
            if (!waiting_.empty() || !parked_.empty() || !subscribers_.empty() || stopping_) {
                const uint64_t now = now_ns();
                if (!subscribers_.empty() && (look_at_streams_ || now >= streams_at_)) pump(now);
                if (!waiting_.empty() && now >= waiting_at_) serve_waiting(now);
                if (!parked_.empty() && now >= retry_at_) retry_parked();
                if (stopping_ && stopped(now)) return 0;
                set_receive_timeout(milliseconds_to_wait(now));
            } else {
                set_receive_timeout(-1);
            }
            if (receive(error)) {
                refresh_table();
                on_message();
            }
        } catch (const std::bad_alloc&) {
            tally(shared_.counters.errors[ERROR_NO_MEMORY]);
        }
        if (error == 0 || error == EAGAIN || error == EINTR) {
            failures = 0;
        } else if (error == ZMQ_ETERM || ++failures >= errors_in_a_row) {
            return error;
        }
    }
}

void Loop::refresh_table() noexcept {
    const uint64_t epoch = shared_.table_epoch.load(std::memory_order_acquire);
    if (epoch == table_epoch_) return;
    repeats_.clear();
    table_ = shared_.table();
    table_epoch_ = epoch;
}

bool Loop::receive(int& error) {
    frame_count_ = 0;
    if (!await_frame(error)) return false;
    frame_count_ = 1;
    // A message arrives whole or not at all.
    while (frames_[frame_count_ - 1].more()) {
        if (frame_count_ == frames_.size()) frames_.resize(2 * frames_.size());
        while (zmq.msg_recv(frames_[frame_count_].raw(), router_, 0) < 0) {
            error = zmq.errno_();
            if (error != EINTR) return false;
        }
        ++frame_count_;
    }
    error = 0;
    if (frame_count_ == 2 && frames_[0].view() == wake_id_) {
        frame_count_ = 0;  // a wake-up; run() reads the mail
        spin_.interrupted();
        return true;
    }
    arrived_ = now_ns();
    return true;
}

// The first frame of a message; false without one: time-out, mail, a signal, a fault.
bool Loop::await_frame(int& error) {
    zmq_msg* const frame = frames_[0].raw();
    const bool may_sleep = receive_timeout_ != 0;
    // With several requests in Python's hands, the cores have better things to do.
    if (may_sleep && spin_.brisk() && jobs_.size() < 2) {
        for (;;) {
            if (zmq.msg_recv(frame, router_, ZMQ_DONTWAIT) >= 0) return true;
            error = zmq.errno_();
            if (error != EAGAIN) return false;
            if (shared_.has_mail()) {
                spin_.interrupted();
                return false;
            }
            if (!spin_.again(now_ns())) break;
            std::this_thread::yield();
        }
    } else {
        spin_.sleep(now_ns());
    }
    if (may_sleep && !shared_.fall_asleep()) return false;
    const int received = zmq.msg_recv(frame, router_, 0);
    error = received < 0 ? zmq.errno_() : 0;
    shared_.awake();
    return received >= 0;
}

void Loop::on_message() {
    if (frame_count_ == 0) return;
    uint64_t bytes = 0;
    for (size_t i = 1; i < frame_count_; ++i) bytes += frames_[i].size();
    tally(shared_.counters.bytes_in, bytes);

    size_t delimiter = 1;
    while (delimiter < frame_count_ && frames_[delimiter].size() != 0) ++delimiter;
    if (delimiter >= frame_count_) {
        spin_.interrupted();
        tally(shared_.counters.errors[ERROR_NO_DELIMITER]);
        return;
    }
    const size_t route_size = delimiter + 1;
    const bool one_frame = frame_count_ == route_size + 1;
    Message& body = one_frame ? frames_[route_size] : nothing_;
    if (one_frame && take_control(delimiter, body)) {
        spin_.interrupted();
        return;
    }
    spin_.over(arrived_);
    last_request_ = arrived_;
    const Request request = inspect(body, one_frame);

    if (!peers_.empty()) {
        route_key(frames_.data(), delimiter, key_);
        const auto known = peers_.find(key_);
        if (known != peers_.end()) {
            append(known->second, route_size, body, request, Ticket{});
            return;
        }
    }
    Ticket ticket;
    if (stopping_ || (request.command != nullptr && request.command->action != ACTION_PYTHON)) {
        Answer answer;
        if (begin(request, ticket, answer) == Step::ready) {
            answer_now(route_size, answer);
            return;
        }
    }
    append(peer_of(delimiter), route_size, body, request, ticket);
}

// The usual way of an answer: the peer is owed nothing else and takes it at once.
void Loop::answer_now(size_t route_size, Answer& answer) {
    const Sent sent = send(frames_.data(), route_size, answer);
    if (sent == Sent::yes) {
        account(answer, arrived_);
    } else if (sent == Sent::gone) {
        abandon(answer, ERROR_UNROUTABLE);
    } else {
        Peer& peer = peer_of(route_size - 1);
        Slot slot;
        slot.arrived = arrived_;
        slot.answer = std::move(answer);
        move_route(slot, route_size);
        peer.slots.push_back(std::move(slot));
        make_ready(peer, peer.slots.back());
        advance(peer);
    }
}

void Loop::move_route(Slot& slot, size_t route_size) {
    slot.route.reserve(route_size);
    for (size_t i = 0; i < route_size; ++i) slot.route.push_back(std::move(frames_[i]));
}

Request Loop::inspect(Message& body, bool one_frame) noexcept {
    Request request;
    request.one_frame = one_frame;
    if (!one_frame) return request;
    request.body = body.view();
    if (const Repeat* const repeat = repeats_.find(request.body)) return repeat->request;
    request.verdict = ls_scan(body.data(), body.size(), &request.envelope);
    request.command = table_->find(request.verdict, request.envelope);
    return request;
}

// ---- answering

Loop::Step Loop::begin(const Request& request, Ticket& ticket, Answer& answer) {
    const Command* command = request.command;
    answer.command = command != nullptr ? command->index : 0;
    if (stopping_) {
        answer_error(request, table_->stopping, ERROR_STOPPING, answer);
        return Step::ready;
    }
    const int what = command != nullptr ? command->action : static_cast<int>(ACTION_PYTHON);
    if (what == ACTION_PYTHON) {
        return Step::python;
    }
    if (what == ACTION_PING) {
        Content none;
        answer_document(request, none, answer);
        return Step::ready;
    }
    const bool is_get = what == ACTION_GET;
    const bool take = is_get && shared_.take_after_get.load(std::memory_order_relaxed);
    Content content;
    const document_id which = is_get ? DOCUMENT_DATA : DOCUMENT_INFO;
    if (!shared_.documents.read(which, take, ticket, content, &answer.taken)) return Step::waiting;
    if (!is_get && !content.is_error && shared_.streams.any.load()) add_streams(content.text);
    answer_document(request, content, answer);
    return Step::ready;
}

// INFO tells of the streams as they are at this moment.
void Loop::add_streams(Text& text) {
    std::string whole = *text;
    whole.pop_back();  // the closing brace of an object that is not empty
    whole += ',' + shared_.streams.described(shared_.config.epoch) + '}';
    text = std::make_shared<const std::string>(std::move(whole));
}

void Loop::answer_document(const Request& request, const Content& content, Answer& answer) {
    if (content.is_error) {
        answer_error(request, *content.text, ERROR_DATA, answer);
        return;
    }
    if (!make_reply(request, content.text, answer)) {
        if (answer.taken) shared_.documents.put_back(DOCUMENT_DATA, answer.taken);
        answer.taken = Taken{};
        throw std::bad_alloc();
    }
    if (shared_.log_answers.load(std::memory_order_relaxed) || arrived_ - log_checked_ > log_check_ns) log(request);
}

// The reply that tells the text; false without memory.
bool Loop::make_reply(const Request& request, const Text& text, Answer& answer) noexcept {
    Repeat* const repeat = request.repeat;
    if (repeat != nullptr && repeat->tells(text)) return answer.reply.share(repeat->reply);
    Fillings fillings{};
    fillings[HOLE_TO] = DispatchTable::text(request.envelope.from);
    fillings[HOLE_VERSION] = DispatchTable::text(request.envelope.version);
    if (text) fillings[HOLE_BODY] = *text;
    const ReplyTemplate& pieces = request.command->action == ACTION_PING   ? table_->ping
                                  : request.command->action == ACTION_INFO ? table_->info
                                                                           : table_->get;
    if (!pieces.render(fillings, answer.reply)) return false;
    if (answer.taken) return true;  // told once: it will not be asked for again
    if (repeat != nullptr) {
        Repeats::renew(*repeat, text, answer.reply);
    } else {
        repeats_.keep(request, text, answer.reply);
    }
    return true;
}

void Loop::answer_error(const Request& request, const std::string& text, int kind, Answer& answer) {
    const ls_envelope& envelope = request.envelope;
    Fillings fillings{};
    fillings[HOLE_TO] = envelope.from.kind != LS_ABSENT ? DispatchTable::text(envelope.from) : table_->unknown;
    fillings[HOLE_CMD] = envelope.cmd.kind != LS_ABSENT ? DispatchTable::text(envelope.cmd) : table_->unknown;
    fillings[HOLE_VERSION] = table_->reply_version(request.verdict, envelope);
    fillings[HOLE_ERROR] = text;
    if (!table_->error.render(fillings, answer.reply)) throw std::bad_alloc();
    answer.error = kind;
}

Loop::Sent Loop::send(Message* route, size_t route_size, Answer& answer) {
    const size_t answer_size = answer.size();
    const size_t size = answer_size + size_of(route, route_size);
    Connection* counted = nullptr;
    if (size >= large_reply) {
        counted = &connection_of(route[0].view());
        const size_t in_flight = counted->in_flight->load();
        if (in_flight > 0 && in_flight + size > shared_.config.limits.peer_parked_bytes) return Sent::full;
    }
    const size_t last = route_size + answer.arrays.size();
    for (size_t i = 0; i <= last; ++i) {
        Message& frame = i < route_size ? route[i] : i == route_size ? answer.reply : answer.arrays[i - route_size - 1];
        // The first frame is for the ROUTER itself and stays where it is if there is no room.
        if (i > 0 && counted != nullptr && frame.size() > 0) {
            frame.count_until_freed(counted->in_flight);
        }
        const int flags = ZMQ_DONTWAIT | (i == last ? 0 : ZMQ_SNDMORE);
        while (zmq.msg_send(frame.raw(), router_, flags) < 0) {
            const int error = zmq.errno_();
            if (error == EINTR) continue;
            if (i == 0) return error == EAGAIN ? Sent::full : Sent::gone;
            // The ROUTER chose a pipe with the first frame and takes the others, or
            // drops them when the peer goes meanwhile; it refuses none of them.
            return Sent::gone;
        }
    }
    tally(shared_.counters.bytes_out, answer_size);
    return Sent::yes;
}

void Loop::account(const Answer& answer, uint64_t arrived) noexcept {
    Counters& counters = shared_.counters;
    last_sent_ = now_ns();
    const uint64_t took = last_sent_ - arrived;
    Counters::PerCommand& command = counters.commands[answer.command];
    if (answer.native) {
        tally(command.native);
        counters.native_latency.record(took);
    } else {
        tally(command.python);
        counters.python_latency.record(took);
    }
    if (answer.error != ERROR_NONE) tally(counters.errors[static_cast<size_t>(answer.error)]);
}

void Loop::abandon(Answer& answer, int kind) noexcept {
    if (answer.taken) shared_.documents.put_back(DOCUMENT_DATA, answer.taken);
    answer.taken = Taken{};
    tally(shared_.counters.errors[static_cast<size_t>(kind)]);
    if (answer.error != ERROR_NONE) tally(shared_.counters.errors[static_cast<size_t>(answer.error)]);
}

void Loop::log(const Request& request) {
    log_checked_ = arrived_;
    Answered record;
    record.command = request.command->index;
    record.from = std::string(DispatchTable::text(request.envelope.from).substr(0, Inbox::from_limit));
    if (!shared_.inbox.push_log(std::move(record))) tally(shared_.counters.errors[ERROR_LOG_DROPPED]);
}

// ---- between messages

void Loop::read_mail() {
    for (Finished& finished : shared_.outbox.take()) {
        try {
            finish(finished);
        } catch (const std::bad_alloc&) {
            tally(shared_.counters.errors[ERROR_NO_MEMORY]);
        }
    }
    if (shared_.stop_requested.load() && !stopping_) begin_stop();
    if (!waiting_.empty()) {
        serve_waiting(now_ns());
        spin_.answered();
    }
    look_at_streams_ = !subscribers_.empty();
}

Slot* Loop::take_job(uint64_t id, Peer*& peer) noexcept {
    const auto job = jobs_.find(id);
    if (job == jobs_.end()) return nullptr;
    const Owed owed = job->second;
    jobs_.erase(job);
    peer = owed.peer;
    if (peer != nullptr) return slot_of(*peer, id);
    release(for_python_, owed.weight);  // its peer has gone
    return nullptr;
}

Slot* Loop::slot_of(Peer& peer, uint64_t id) noexcept {
    for (Slot& slot : peer.slots) {
        if (slot.state == SlotState::queued && slot.id == id) return &slot;
    }
    return nullptr;
}

void Loop::finish(Finished& finished) {
    Peer* peer = nullptr;
    Slot* slot = take_job(finished.id, peer);
    if (slot == nullptr) {
        if (finished.taken) shared_.documents.put_back(DOCUMENT_DATA, finished.taken);
        return;
    }
    Answer& answer = slot->answer;
    answer.native = false;
    answer.command = finished.command;
    answer.error = finished.error;
    answer.taken = finished.taken;
    if (!fill_reply(finished, answer)) {
        abandon(answer, ERROR_NO_MEMORY);
        if (!answer.reply.allocate(0)) return;
    }
    if (finished.subscription.stream && size_of(slot->route.data(), slot->route.size()) > longest_route) {
        answer.reply = Message();
        answer_error(Request{}, table_->busy, ERROR_BUSY, answer);
    } else if (finished.subscription.stream) {  // while stopping, too: it gets the end
        try {
            subscribe(slot->route, finished.subscription);
        } catch (const std::bad_alloc&) {  // its client asks again when it hears nothing
            tally(shared_.counters.errors[ERROR_NO_MEMORY]);
        }
    }
    make_ready(*peer, *slot);
    advance(*peer);
    spin_.answered();
}

// False without memory.
bool Loop::fill_reply(Finished& finished, Answer& answer) noexcept {
    if (finished.render == RENDER_NOTHING) return copy_reply(finished, answer);
    if (finished.render == RENDER_GET) return render_get(finished, answer);
    answer.arrays = std::move(finished.arrays);
    Fillings fillings{};
    fillings[HOLE_TO] = finished.to;
    fillings[HOLE_VERSION] = finished.version;
    fillings[HOLE_BODY] = finished.reply;
    return table_->arrays.render(fillings, answer.reply);
}

bool Loop::copy_reply(const Finished& finished, Answer& answer) noexcept {
    if (!answer.reply.allocate(finished.reply.size())) return false;
    std::memcpy(answer.reply.data(), finished.reply.data(), finished.reply.size());
    return true;
}

bool Loop::render_get(const Finished& finished, Answer& answer) noexcept {
    static constexpr std::string_view get_name = "\"GET\"";
    Content content;
    const bool take = shared_.take_after_get.load(std::memory_order_relaxed);
    // Its handler has seen to it that there is a text of all that it set.
    (void)shared_.documents.read_now(DOCUMENT_DATA, take, Ticket{}, content, &answer.taken);
    Fillings fillings{};
    fillings[HOLE_TO] = finished.to;
    fillings[HOLE_VERSION] = finished.version;
    fillings[HOLE_CMD] = get_name;
    fillings[content.is_error ? HOLE_ERROR : HOLE_BODY] = *content.text;
    if (content.is_error) answer.error = ERROR_DATA;
    return (content.is_error ? table_->error : table_->get).render(fillings, answer.reply);
}

// Answers the reads whose text has been made, or whose time is over.
void Loop::serve_waiting(uint64_t now) {
    std::vector<Peer*> batch, unserved;
    unserved.reserve(waiting_.size());
    batch.swap(waiting_);
    waiting_at_ = UINT64_MAX;
    for (Peer* peer : batch) {
        try {
            if (serve_waiting_peer(*peer, now)) continue;
            unserved.push_back(peer);
            waiting_at_ = std::min(waiting_at_, peer->slots.front().deadline);
        } catch (const std::bad_alloc&) {
            tally(shared_.counters.errors[ERROR_NO_MEMORY]);
            forget(*peer);
        }
    }
    // In the order they came; those that began to wait meanwhile come last.
    waiting_.insert(waiting_.begin(), unserved.begin(), unserved.end());
}

// False: it has to wait on.
bool Loop::serve_waiting_peer(Peer& peer, uint64_t now) {
    Slot& slot = peer.slots.front();
    const Request request = inspect(slot.body, slot.one_frame);
    const bool is_get = request.command != nullptr && request.command->action == ACTION_GET;
    const bool take = is_get && shared_.take_after_get.load(std::memory_order_relaxed);
    const document_id which = is_get ? DOCUMENT_DATA : DOCUMENT_INFO;
    Answer& answer = slot.answer;
    Content content;
    if (!shared_.documents.read(which, take, slot.ticket, content, &answer.taken)) {
        if (now < slot.deadline && !stopping_) return false;
        if (!read_late(which, take, slot, content)) {
            if (!stopping_) return false;
            peer.waiting = false;
            answer_error(request, table_->stopping, ERROR_STOPPING, answer);
            make_ready(peer, slot);
            advance(peer);
            return true;
        }
    }
    peer.waiting = false;
    if (!is_get && !content.is_error && shared_.streams.any.load()) add_streams(content.text);
    if (request.command != nullptr && request.command->action != ACTION_PYTHON) {
        answer_document(request, content, answer);
        make_ready(peer, slot);
    } else {
        slot.state = SlotState::held;  // its handler was changed meanwhile: begin anew
    }
    advance(peer);
    return true;
}

// No look was made in time: what there is will do, unless something newer was handed over before the
// request came, whose text is still being made.
bool Loop::read_late(document_id which, bool take, Slot& slot, Content& content) {
    if (!shared_.documents.read_now(which, take, slot.ticket, content, &slot.answer.taken)) {
        slot.deadline = UINT64_MAX;
        return false;
    }
    tally(shared_.counters.stale_gets);
    return true;
}

void Loop::retry_parked() {
    std::vector<Peer*> batch;
    batch.swap(parked_);
    progress_ = false;
    const uint64_t patience = retry_after_;
    for (Peer* peer : batch) {
        peer->parked = false;
        --peer->connection->parked_peers;
        advance(*peer);
    }
    retry_after_ = progress_ ? first_retry_ns : std::min(2 * patience, last_retry_ns);
    retry_at_ = now_ns() + retry_after_;
}

int Loop::milliseconds_to_wait(uint64_t now) const noexcept {
    uint64_t next = UINT64_MAX;
    if (!waiting_.empty()) next = waiting_at_;
    if (!parked_.empty()) next = std::min(next, retry_at_);
    if (!subscribers_.empty()) next = look_at_streams_ ? now : std::min(next, streams_at_);
    if (stopping_) next = std::min(next, jobs_.empty() ? flush_deadline_ : callback_deadline_);
    if (next == UINT64_MAX) return -1;
    if (next <= now) return 0;
    return static_cast<int>((next - now + ns_per_ms - 1) / ns_per_ms);
}

void Loop::set_receive_timeout(int milliseconds) noexcept {
    if (milliseconds == receive_timeout_) return;
    if (zmq.setsockopt(router_, ZMQ_RCVTIMEO, &milliseconds, sizeof milliseconds) == 0) {
        receive_timeout_ = milliseconds;
    }
}

// ---- stopping

void Loop::begin_stop() {
    stopping_ = true;
    const uint64_t now = now_ns();
    callback_deadline_ = now + static_cast<uint64_t>(shared_.config.callback_grace_ms) * ns_per_ms;
    flush_deadline_ = 0;
    for (Job& job : shared_.inbox.close()) refuse(job.id, inspect(job.body, job.one_frame));
}

void Loop::refuse(uint64_t job, const Request& request) {
    Peer* peer = nullptr;
    Slot* slot = take_job(job, peer);
    if (slot == nullptr) return;
    answer_error(request, table_->stopping, ERROR_STOPPING, slot->answer);
    make_ready(*peer, *slot);
    advance(*peer);
}

// True when all that could be answered has been, or its time is over.
bool Loop::stopped(uint64_t now) {
    if (!jobs_.empty() && now < callback_deadline_) return false;
    // A callback that does not return: its client is told.
    while (!jobs_.empty()) refuse(jobs_.begin()->first, Request{});
    if (flush_deadline_ == 0) {
        flush_deadline_ = now + static_cast<uint64_t>(shared_.config.flush_ms) * ns_per_ms;
        // What arrived before now is still answered, a flood does not hold up the end.
        set_receive_timeout(0);
        int error = 0;
        while (now_ns() < now + drain_ns && receive(error)) on_message();
        shared_.streams.seal();
    }
    end_streams(now < flush_deadline_);
    return (peers_.empty() && subscribers_.empty()) || now >= flush_deadline_;
}

int Loop::linger_ms() const noexcept {
    const uint64_t flush = static_cast<uint64_t>(shared_.config.flush_ms) * ns_per_ms;
    const uint64_t end = std::min(flush_deadline_, last_sent_ + flush);
    const uint64_t now = now_ns();
    return now < end ? static_cast<int>((end - now) / ns_per_ms) : 0;
}

}  // namespace laplace
