// Who asks: the clients of a server, found by name, key and host. Noted by whoever has the turn, read by any thread.
#ifndef LAPLACE_CLIENTS_H
#define LAPLACE_CLIENTS_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "requests/reply_cache.h"
#include "transport/client_link.h"
#include "transport/connection.h"

namespace laplace {

class Clients {
public:
    // A client at one moment; times in ns.
    struct Seen {
        uint64_t id;  // no two have the same, one after another included
        std::string name;  // JSON text
        std::string host;
        uint32_t key;
        uint64_t since, heard;
        unsigned command;
        uint32_t connections;
    };
    static constexpr size_t most = 4096;
    static constexpr size_t longest_name = 256;  // bytes of JSON text; who has a longer one is left out

    // A request has come. Where it is known by its bytes who asks, that costs nearly nothing.
    void hear(Connection& connection, const Request& request, uint64_t now) noexcept {
        ClientLink& link = connection.client;
        const uint64_t number = request.cached == nullptr ? 0 : request.cached->number;
        ClientRecord* client = link.get();
        if (number == 0 || number != link.request || is_forgotten(client)) {
            meet(connection, request, number, now);
            client = link.get();
        }
        if (client == nullptr) return;
        client->hear(now);
        if (request.command != nullptr) client->command.store(request.command->index, std::memory_order_relaxed);
    }
    // What is no request has come from a connection.
    static void hear(Connection& connection, uint64_t now) noexcept {
        if (connection.client.get() != nullptr) connection.client.get()->hear(now);
    }
    // Those that are there. Throws std::bad_alloc.
    std::vector<Seen> present(uint64_t now);
    // How often somebody could not be told apart, since there are as many as there may be, or for want of memory.
    uint64_t left_out() const noexcept { return left_out_.load(std::memory_order_relaxed); }

private:
    using Table = std::unordered_map<std::string, std::shared_ptr<ClientRecord>>;

    static bool is_forgotten(const ClientRecord* client) noexcept {
        return client == nullptr || client->forgotten.load(std::memory_order_relaxed);
    }
    void meet(Connection& connection, const Request& request, uint64_t number, uint64_t now) noexcept;
    bool lead(Connection& connection, std::string_view name, uint64_t now);
    Table::iterator forget(Table::iterator client) noexcept;
    void forget_gone(uint64_t now) noexcept;

    std::mutex mutex_;
    Table clients_;  // by name, key and host
    std::string key_;
    uint64_t last_id_ = 0;
    uint64_t look_at_ = 0;  // when to look again for those that have gone
    std::atomic<uint64_t> left_out_{0};
};

}  // namespace laplace

#endif
