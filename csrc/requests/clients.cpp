#include "requests/clients.h"

#include <iterator>
#include <new>
#include <string_view>
#include <utility>

namespace laplace {

namespace {

constexpr uint64_t pause_ns = 100 * ns_per_ms;  // between two looks at all, while there is no room

// Of one connection it is always the same.
std::string host_of(const Connection& connection) {
    const ClientRecord* const client = connection.client.get();
    return client != nullptr ? client->host : connection.peer_host();
}

}  // namespace

// Another request than the last one of this connection.
void Clients::meet(Connection& connection, const Request& request, uint64_t number, uint64_t now) noexcept {
    ClientLink& link = connection.client;
    const ls_value& from = request.envelope.from;
    if (from.kind == LS_ABSENT) return;  // only Python can tell, or nobody
    const std::string_view name(from.text, from.size);
    bool known = !is_forgotten(link.get()) && link.get()->name == name;
    if (!known && from.truth != LS_FALSY && name.size() <= longest_name) {
        try {
            known = lead(connection, name, now);
        } catch (const std::bad_alloc&) {
        }
    }
    if (known) {
        link.request = number;
        return;
    }
    left_out_.fetch_add(1, std::memory_order_relaxed);
    link.end(false, now);
}

// To whoever has that name; false where there is no room. All under the lock: so nobody forgets it in between.
bool Clients::lead(Connection& connection, std::string_view name, uint64_t now) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const std::string host = host_of(connection);
    key_.assign(name);
    const uint32_t key = connection.key();
    key_.append(reinterpret_cast<const char*>(&key), sizeof key);  // a stranger may use any name
    key_ += host;
    auto found = clients_.find(key_);
    if (found != clients_.end() && found->second->is_gone(now)) {
        forget(found);
        found = clients_.end();
    }
    if (found == clients_.end()) {
        if (clients_.size() >= most && now >= look_at_) forget_gone(now);
        if (clients_.size() >= most) return false;
        auto made = std::make_shared<ClientRecord>(last_id_ + 1, std::string(name), host, key, now);
        found = clients_.try_emplace(key_, std::move(made)).first;
        ++last_id_;
    }
    connection.client.lead_to(found->second, connection.tells_its_end(), now);
    return true;
}

std::vector<Clients::Seen> Clients::present(uint64_t now) {
    std::vector<std::shared_ptr<const ClientRecord>> records;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        forget_gone(now);
        records.reserve(clients_.size());
        for (const auto& each : clients_) records.push_back(each.second);
    }
    std::vector<Seen> seen;
    seen.reserve(records.size());
    for (const auto& each : records) {
        seen.push_back({each->id, each->name, each->host, each->key, each->since,
                        each->heard.load(std::memory_order_relaxed), each->command.load(std::memory_order_relaxed),
                        each->connections.load(std::memory_order_relaxed)});
    }
    return seen;
}

Clients::Table::iterator Clients::forget(Table::iterator client) noexcept {
    client->second->forgotten.store(true, std::memory_order_relaxed);
    return clients_.erase(client);
}

void Clients::forget_gone(uint64_t now) noexcept {
    look_at_ = now + pause_ns;
    for (auto each = clients_.begin(); each != clients_.end();) {
        each = each->second->is_gone(now) ? forget(each) : std::next(each);
    }
}

}  // namespace laplace
