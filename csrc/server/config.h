// What a server is made with, and keeps.
#ifndef LAPLACE_CONFIG_H
#define LAPLACE_CONFIG_H

#include <cstdint>
#include <string>

#include "requests/budgets.h"

namespace laplace {

// Who carries messages: the server's own sockets, or libzmq's.
enum class TransportKind { tcp, libzmq };

struct Config {
    std::string address;
    uint64_t epoch = 0;  // of its streams: no two servers have the same
    TransportKind transport = TransportKind::tcp;
    int64_t max_message_bytes = -1;    // -1: no limit
    int max_message_frames = 131072;
    int max_connections = 16384;
    int max_connections_per_address = 0;  // 0: no limit
    int max_subscriptions_per_connection = 256;
    int handshake_timeout_ms = 10000;
    bool anonymous = true;  // whether who has no key may connect; Server::use_keys() changes it
    int refresh_timeout_ms = 100;
    int spin_us = 200;  // how long the loop waits for the next message without sleeping
    bool real_time = false;  // the threads that serve; may_be_real_time() has said yes
    int callback_grace_ms = 1200;  // how long stop waits for a running callback
    int flush_ms = 500;            // how long replies have to leave after that
    // Until a subscriber that has used up its credit, and says nothing, is forgotten.
    int subscriber_silence_ms = 60000;
    int refusal_log_ms = 60000;  // from one line of the log to the next of the same reason
    Limits limits;
};

}  // namespace laplace

#endif
