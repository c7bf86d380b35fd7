// Who asks, by the name that it gives itself and where it is; and what a connection knows of that. Links are
// used by whoever has the turn.
#ifndef LAPLACE_CLIENT_LINK_H
#define LAPLACE_CLIENT_LINK_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/roles.h"

namespace laplace {

// A client: perhaps a program with several connections, perhaps one that has a new one for each request.
// Written by whoever has the turn, read by any thread.
struct ClientRecord {
    // Without a connection of its own it is there for this long after it was heard, ns.
    static constexpr uint64_t patience_ns = 10000 * ns_per_ms;
    // For this long where that connection had lasted.
    static constexpr uint64_t return_ns = 1000 * ns_per_ms;

    ClientRecord(uint64_t its_id, std::string its_name, std::string its_host, uint32_t its_key, uint64_t now)
        : id(its_id), name(std::move(its_name)), host(std::move(its_host)), key(its_key), since(now), heard(now) {}

    const uint64_t id;
    const std::string name;  // JSON text
    const std::string host;  // without a port; empty where the transport does not know it
    const uint32_t key;
    const uint64_t since;  // ns
    std::atomic<uint64_t> heard;  // ns
    std::atomic<unsigned> command{0};  // of its last request, by number
    std::atomic<uint32_t> connections{0};  // where nobody else has asked since
    std::atomic<uint64_t> gone_after{UINT64_MAX};  // ns, while it has none

    std::atomic<bool> forgotten{false};  // it had gone; who asks again is another one

    bool is_gone(uint64_t now) const noexcept {
        // Who sees that the last connection has ended sees for how long it is there then.
        return connections.load(std::memory_order_acquire) == 0 && now >= gone_after.load(std::memory_order_relaxed);
    }
    void hear(uint64_t now) noexcept {
        heard.store(now, std::memory_order_relaxed);
        if (connections.load(std::memory_order_relaxed) == 0) {
            gone_after.store(now + patience_ns, std::memory_order_relaxed);
        }
    }
};

class ClientLink {
public:
    ClientRecord* get() const noexcept { return client_.get(); }
    // The request that it sent last, as the reply cache numbers them; 0 for none.
    uint64_t request = 0;

    // Somebody asks by the connection. `closes`: the transport will say when it is closed.
    void lead_to(std::shared_ptr<ClientRecord> client, bool closes, uint64_t now) noexcept {
        leave(false, now);
        client_ = std::move(client);
        begun_ = now;
        counted_ = closes;
        if (counted_) client_->connections.fetch_add(1, std::memory_order_relaxed);
        client_->hear(now);
    }
    // It is closed, or nobody is known that asks by it.
    void end(bool closed, uint64_t now) noexcept {
        leave(closed, now);
        client_ = nullptr;
        request = 0;
    }

private:
    void leave(bool closed, uint64_t now) noexcept {
        if (client_ == nullptr || !std::exchange(counted_, false)) return;
        // First, so that nobody takes it for gone who looks in between.
        const bool lasted = closed && now - begun_ >= lasting_ns;
        const uint64_t heard = client_->heard.load(std::memory_order_relaxed);
        client_->gone_after.store(lasted ? now + ClientRecord::return_ns : heard + ClientRecord::patience_ns);
        client_->connections.fetch_sub(1);
    }

    // Who has a connection for less long polls.
    static constexpr uint64_t lasting_ns = 5000 * ns_per_ms;

    std::shared_ptr<ClientRecord> client_;
    uint64_t begun_ = 0;
    bool counted_ = false;
};

}  // namespace laplace

#endif
