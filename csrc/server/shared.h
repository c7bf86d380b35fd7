// What the loop and the Python side share. Every member says who may touch it.
#ifndef LAPLACE_SHARED_H
#define LAPLACE_SHARED_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/counters.h"
#include "documents/documents.h"
#include "requests/clients.h"
#include "requests/denials.h"
#include "requests/dispatch.h"
#include "requests/job_queue.h"
#include "server/config.h"
#include "server/result_queue.h"
#include "streams/subscribers.h"
#include "transport/admission.h"
#include "transport/wake_up.h"

namespace laplace {

class Loop;

struct Shared {
    explicit Shared(Config given)
        : config(std::move(given)),
          documents(std::make_shared<const std::string>("{}")),
          builtin_jobs([bell = documents.bell()] { bell->job_came(); }),
          results(config.limits.peer_parked_bytes),
          denials(ns_of_ms(config.refusal_log_ms)),
          admission(config.anonymous) {}

    const Config config;
    // These lock themselves.
    Documents documents;
    CurrentTable table;
    JobQueue jobs;          // for the ServerLHC thread
    JobQueue builtin_jobs;  // for the refresher
    ResultQueue results;
    Streams streams;
    WakeUp wake_up;
    Loop* loop = nullptr;  // for who has borrowed its turn
    Counters counters;  // atomics
    Denials denials;    // noted by who has the turn, counted for anybody
    Clients clients;    // the same
    Admission admission;
    std::atomic<Roles> unsubscribed_roles{0};  // whose subscriptions the loop is to end

    std::atomic<bool> take_after_get{false};
    std::atomic<bool> log_answers{false};
    std::atomic<bool> stop_requested{false};

    // Makes the loop look for what is there for it: from any thread.
    void wake() noexcept { wake_up.wake(); }
};

}  // namespace laplace

#endif
