// Peer queues over a router made of memory, with what Python and the refresher do in the test's hands,
// and a clock that the test moves.
#ifndef LAPLACE_TESTS_PEERS_BENCH_H
#define LAPLACE_TESTS_PEERS_BENCH_H

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "requests/peer_queues.h"
#include "support/memory_router.h"
#include "support/requests.h"

struct PeersBench {
    static constexpr int refresh_timeout_ms = 100;

    explicit PeersBench(const laplace::Limits& limits = {}) : PeersBench(memory_router::Room::told, limits) {}
    explicit PeersBench(memory_router::Room room, const laplace::Limits& limits = {})
        : router(room, wake_up, counters),
          responder({table, take_after_get, log_answers}, documents, jobs, counters, [this] { return more_info; }),
          peers(router, responder, {jobs, builtin_jobs}, counters, denials, clients, limits, refresh_timeout_ms) {
        table.set(requests::table());
    }

    // ---- clients; "a/1" and "a/2" are two programs behind the proxy "a"

    void ask(const std::string& peer, const std::string& text) {
        {
            const failing_memory::Paused paused;
            memory_router::Frames frames = route_of(peer);
            frames.push_back(text);
            router.deliver(std::move(frames));
        }
        receive();
    }
    void send(const memory_router::Frames& frames) {
        router.deliver(frames);
        receive();
    }
    // Asks for more than a limit allows.
    void ask_refused(const std::string& peer, laplace::Refusal refusal) {
        {
            const failing_memory::Paused paused;
            router.deliver_refused(route_of(peer), refusal);
        }
        receive();
    }
    void receive() {
        laplace::Received message;
        int error = 0;
        const laplace::Got got = router.receive(message, 0, false, error);
        message.arrived = now;
        responder.use_current_table();
        if (got == laplace::Got::message) {
            peers.take(message);
        } else if (got == laplace::Got::refused) {
            peers.refuse(message);
        } else {
            std::abort();
        }
    }
    // The text of the next reply to whichever program of that connection, "" where there is none.
    std::string answer(const std::string& connection) {
        const memory_router::Frames frames = router.read(connection);
        return frames.empty() ? "" : frames.back();
    }
    static memory_router::Frames route_of(const std::string& peer) {
        const size_t slash = peer.find('/');
        memory_router::Frames frames{peer.substr(0, slash)};
        if (slash != std::string::npos) frames.push_back(peer.substr(slash + 1));
        frames.emplace_back();
        return frames;
    }

    // ---- Python

    // Takes the next job; its text, "" where there is none.
    std::string begin() {
        const failing_memory::Paused paused;
        laplace::Job job;
        laplace::Attention attention = laplace::Attention::log;
        while (attention == laplace::Attention::log) {
            if (!jobs.try_next(job, attention)) return "";
        }
        if (attention == laplace::Attention::closed) return "";
        begun.push_back(job.id);
        begun_role = job.role;
        return std::string(job.body.view());
    }
    // The same of those that no callback holds up.
    std::string begin_builtin() {
        const failing_memory::Paused paused;
        laplace::Job job;
        laplace::Attention attention = laplace::Attention::log;
        if (!builtin_jobs.try_next(job, attention) || attention != laplace::Attention::job) return "";
        begun.push_back(job.id);
        begun_role = job.role;
        return std::string(job.body.view());
    }
    // Finishes the job begun first.
    void finish(const std::string& text) {
        laplace::PythonReply reply;
        {
            const failing_memory::Paused paused;
            reply.reply = text;
        }
        finish(std::move(reply));
    }
    void finish(laplace::PythonReply reply) {
        if (begun.empty()) std::abort();
        reply.id = begun.front();
        reply.command = 4;
        begun.pop_front();
        peers.finish(reply, now);
    }
    void put(const std::string& text, bool live = false) {
        bool serves = false;
        documents.replace(laplace::DocumentId::data, std::make_shared<const std::string>(text), false, live, serves);
        if (serves) peers.serve_waiting(now);
    }
    void put_unmade() {
        bool serves = false;
        documents.replace(laplace::DocumentId::data, nullptr, false, false, serves);
    }
    void refresh(const std::string& text) {
        const laplace::Refresh begun_now = documents.begin_refresh(laplace::DocumentId::data);
        end_refresh(begun_now, text);
    }
    void end_refresh(const laplace::Refresh& refresh, const std::string& text) {
        const auto made = std::make_shared<const std::string>(text);
        if (documents.finish_refresh(laplace::DocumentId::data, refresh, made, false, true)) peers.serve_waiting(now);
    }

    // ---- time

    void pass_ms(uint64_t milliseconds) {
        now += milliseconds * laplace::ns_per_ms;
        hear_of_room();
        peers.work(now);
    }

    // As the loop does after each receipt.
    void hear_of_room() {
        if (router.take_room()) peers.room(now);
    }

    uint64_t count(laplace::ErrorKind kind) const { return counters.errors[static_cast<size_t>(kind)].load(); }
    // Whether nothing is left of whatever was.
    bool nothing_waits() const {
        return peers.empty() && peers.jobs() == 0 && peers.due() == UINT64_MAX && counters.pending.load() == 0 &&
               counters.pending_bytes.load() == 0 && counters.parked_bytes.load() == 0 && router.all_clear();
    }

    laplace::WakeUp wake_up;
    laplace::Counters counters;
    laplace::Documents documents{std::make_shared<const std::string>("{}")};
    laplace::CurrentTable table;
    laplace::JobQueue jobs, builtin_jobs;
    laplace::Clients clients;
    laplace::Denials denials{60000 * laplace::ns_per_ms};
    std::atomic<bool> take_after_get{false}, log_answers{false};
    std::string more_info;
    memory_router::MemoryRouter router;
    laplace::Responder responder;
    laplace::PeerQueues peers;
    std::deque<uint64_t> begun;
    laplace::Role begun_role = laplace::anonymous_role;  // of the job begun last
    uint64_t now = 1000 * laplace::ns_per_ms;
};

#endif
