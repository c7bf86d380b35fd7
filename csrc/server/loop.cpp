#include "server/loop.h"

#include <algorithm>
#include <new>
#include <thread>
#include <utility>

#include "base/clock.h"

namespace laplace {

namespace {

constexpr uint64_t drain_ns = 100 * ns_per_ms;  // for requests that came just before a stop
constexpr int errors_in_a_row = 100;            // of receiving, before the loop gives up
// After the last request, until the loop may rest between updates and give the network much at once:
// requests would have to wait.
constexpr uint64_t calm_ns = 10 * ns_per_ms;

}  // namespace

Loop::Loop(Shared& shared, Router& router)
    : shared_(shared),
      router_(router),
      note_(router.endpoint(), shared.counters),
      responder_({shared.table, shared.take_after_get, shared.log_answers}, shared.documents, shared.jobs,
                 shared.counters,
                 [&shared] {
                     return shared.streams.any.load() ? shared.streams.described(shared.config.epoch) : std::string();
                 }),
      peers_(router, responder_, {shared.jobs, shared.builtin_jobs}, shared.counters, shared.denials,
             shared.clients, shared.config.limits, shared.config.refresh_timeout_ms),
      streams_(router, shared.streams, shared.config.epoch, shared.config.subscriber_silence_ms,
               static_cast<size_t>(shared.config.max_subscriptions_per_connection)) {}

int Loop::run() noexcept {
    shared_.loop = this;
    Received message;
    int failures = 0;
    for (;;) {
        int error = 0;
        try {
            if (!step(message, error)) return 0;
        } catch (const std::bad_alloc&) {
            tally(shared_.counters.of(ErrorKind::no_memory));
        }
        if (error == 0 || error == EAGAIN || error == EINTR) {
            failures = 0;
        } else if (++failures >= errors_in_a_row) {
            return error;
        }
    }
}

// False: all is done, and the server stops.
bool Loop::step(Received& message, int& error) {
    responder_.use_current_table();
    if (shared_.wake_up.take()) on_wake_up();
    int wait_ms = -1;
    if (!peers_.empty() || !streams_.empty() || stopping_) {
        const uint64_t now = now_ns();
        send_updates(now);
        note_.at(LoopStep::answering);
        peers_.work(now);
        if (stopping_ && stopped(now)) return false;
        wait_ms = milliseconds_to_wait(now);
    }
    on_receipt(receive(message, wait_ms, error), message);
    return true;
}

Got Loop::receive(Received& message, int wait_ms, int& error) {
    note_.at(LoopStep::waiting);
    // With several requests in Python's hands, the cores have better things to do than to spin.
    return router_.receive(message, wait_ms, peers_.jobs() < 2, error);
}

void Loop::on_receipt(Got got, Received& message) {
    if (router_.take_room()) {
        peers_.room(now_ns());
        streams_.wake();
        if (router_.take_freed()) shared_.jobs.give_back();
    }
    if (got == Got::message) {
        on_message(message);
    } else if (got == Got::refused) {
        responder_.use_current_table();
        peers_.refuse(message);
    }
}

void Loop::on_message(Received& message) {
    note_.at(LoopStep::answering);
    if (streams_.take_control(message)) {
        Clients::hear(*message.connection, message.arrived);
        router_.spin().interrupted();
        return;
    }
    router_.spin().over(message.arrived);
    last_request_ = message.arrived;
    router_.set_calm(false);
    responder_.use_current_table();
    peers_.take(message);
}

void Loop::on_wake_up() {
    note_.at(LoopStep::results);
    const uint64_t now = now_ns();
    router_.review();  // before what waits behind a result is begun
    finish_results(now);
    if (const Roles roles = shared_.unsubscribed_roles.exchange(0)) streams_.give_up_roles(roles, now);
    if (shared_.stop_requested.load() && !stopping_) begin_stop(now);
    if (peers_.any_waiting()) {
        peers_.serve_waiting(now);
        router_.spin().answered();
    }
    streams_.wake();
}

void Loop::finish_results(uint64_t now) {
    for (Result& result : shared_.results.take()) {
        try {
            finish(result, now);
        } catch (const std::bad_alloc&) {
            tally(shared_.counters.of(ErrorKind::no_memory));
        }
    }
}

void Loop::finish(Result& result, uint64_t now) {
    Route* const route = result.grant.stream ? peers_.route_of(result.id) : nullptr;
    bool granted = true;
    if (route != nullptr) {  // while stopping, too: it gets the end
        try {
            // Rights may have changed while Python had it; when its client asks again, it hears so.
            granted = responder_.permits(route->connection->role(), result.command) && begin(*route, result, now);
        } catch (const std::bad_alloc&) {  // its client asks again when it hears nothing
            tally(shared_.counters.of(ErrorKind::no_memory));
        }
    }
    if (granted && !result.busy) {
        peers_.finish(result, now);
    } else {
        peers_.finish_busy(result.id, now);
    }
    router_.spin().answered();
}

// Whether the subscription has begun, or who asked is told that its connection has too many.
bool Loop::begin(const Route& route, Result& result, uint64_t now) {
    const Begun begun = streams_.subscribe(route, result.grant, now);
    if (begun == Begun::too_many) {
        result.reply = std::move(result.refusal);
        result.error = ErrorKind::subscriptions;
    }
    return begun != Begun::route_too_long;
}

void Loop::send_updates(uint64_t now) {
    note_.at(LoopStep::updates);
    const bool calm = now - last_request_ > calm_ns;
    router_.set_calm(calm);
    const auto rest = streams_.send(now);
    if (rest.count() > 0 && calm) std::this_thread::sleep_for(rest);
}

int Loop::milliseconds_to_wait(uint64_t now) const noexcept {
    uint64_t next = std::min(peers_.due(), streams_.due(now));
    if (stopping_) next = std::min(next, peers_.jobs() == 0 ? flush_deadline_ : callback_deadline_);
    if (next == UINT64_MAX) return -1;
    if (next <= now) return 0;
    return static_cast<int>((next - now + ns_per_ms - 1) / ns_per_ms);
}

// ---- by others, while it sleeps

template <typename Work>
InPlace Loop::stand_in(Work work) noexcept {
    const uint64_t now = now_ns();
    bool done = false;
    router_.stand_in();
    try {
        done = work(now);
    } catch (const std::bad_alloc&) {
        tally(shared_.counters.of(ErrorKind::no_memory));
    }
    const bool nothing_left = router_.stood_in(std::min(peers_.due(), streams_.due(now)));
    return nothing_left && done ? InPlace::done : InPlace::begun;
}

InPlace Loop::send_update(Stream& stream) noexcept {
    if (stopping_ || !direct_sends_.take(now_ns())) return InPlace::refused;
    return stand_in([&](uint64_t now) { return streams_.send_alone(stream, now); });
}

InPlace Loop::send_result(Result& result) noexcept {
    // While others' requests are with Python, the loop is about to wake for the next one anyway.
    if (stopping_ || peers_.jobs() > 1 || !peers_.is_last(result.id)) return InPlace::refused;
    return stand_in([&](uint64_t now) {
        responder_.use_current_table();
        finish(result, now);
        return true;
    });
}

// ---- stopping

void Loop::begin_stop(uint64_t now) {
    stopping_ = true;
    callback_deadline_ = now + ns_of_ms(shared_.config.callback_grace_ms);
    flush_deadline_ = 0;
    responder_.stop();
    peers_.refuse_unbegun(now);
}

// True when all that could be answered has been, or its time is over.
bool Loop::stopped(uint64_t now) {
    if (peers_.jobs() > 0 && now < callback_deadline_) return false;
    note_.at(LoopStep::ending);
    peers_.give_up_begun(now);  // a callback that does not return: its client is told
    if (flush_deadline_ == 0) {
        flush_deadline_ = now + ns_of_ms(shared_.config.flush_ms);
        // What arrived before now is still answered, a flood does not hold up the end.
        Received message;
        int error = 0;
        for (Got got = Got::other; got != Got::nothing && now_ns() < now + drain_ns;) {
            got = receive(message, 0, error);
            on_receipt(got, message);
        }
        shared_.streams.seal();
    }
    streams_.end(now < flush_deadline_, now);
    return (peers_.empty() && streams_.empty()) || now >= flush_deadline_;
}

int Loop::linger_ms() const noexcept {
    const uint64_t end = std::min(flush_deadline_, router_.last_sent() + ns_of_ms(shared_.config.flush_ms));
    const uint64_t now = now_ns();
    return now < end ? static_cast<int>((end - now) / ns_per_ms) : 0;
}

}  // namespace laplace
