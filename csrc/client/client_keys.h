// By which keys a client and one server know each other.
#ifndef LAPLACE_CLIENT_KEYS_H
#define LAPLACE_CLIENT_KEYS_H

#include <cstring>

#include "crypto/keys.h"

namespace laplace {

struct ClientKeys {
    crypto::KeyPair own;
    crypto::PublicKey server;

    // Once; each has crypto::key_size bytes. False: there is no such key of a server.
    [[nodiscard]] bool set(const char* secret_key, const char* server_key) noexcept {
        std::memcpy(own.secret_key.bytes, secret_key, crypto::key_size);
        std::memcpy(server.bytes, server_key, crypto::key_size);
        crypto::SharedKey shared;
        return crypto::sodium.scalarmult_base(own.public_key.bytes, own.secret_key.bytes) == 0 &&
               crypto::share(server, own.secret_key, shared);
    }
};

}  // namespace laplace

#endif
