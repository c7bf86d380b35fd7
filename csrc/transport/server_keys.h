// What a server knows of keys at one moment: its own, and whose it serves. It does not change once it is in use;
// a change is another one.
#ifndef LAPLACE_SERVER_KEYS_H
#define LAPLACE_SERVER_KEYS_H

#include <array>
#include <cstdint>
#include <cstring>
#include <map>

#include "base/roles.h"
#include "crypto/keys.h"

namespace laplace {

class ServerKeys {
public:
    struct Client {
        Role role;
        uint32_t number;
    };

    ServerKeys() = default;
    ServerKeys(const ServerKeys&) = delete;
    ServerKeys& operator=(const ServerKeys&) = delete;

    // Of crypto::key_size bytes. False: libsodium makes no public key of it.
    [[nodiscard]] bool set_own(const unsigned char* secret_key) noexcept {
        std::memcpy(own_.secret_key.bytes, secret_key, crypto::key_size);
        return crypto::sodium.scalarmult_base(own_.public_key.bytes, own_.secret_key.bytes) == 0;
    }
    // `number`: of the key, not no_key. False: the key, or the number, is there already. Throws std::bad_alloc.
    [[nodiscard]] bool add(const unsigned char* public_key, Role role, uint32_t number) {
        if (!roles_.try_emplace(number, role).second) return false;
        return clients_.try_emplace(bytes_of(public_key), Client{role, number}).second;
    }

    const crypto::KeyPair& own() const noexcept { return own_; }
    // Null: the server does not serve who has that key.
    const Client* find(const crypto::PublicKey& key) const noexcept {
        const auto found = clients_.find(bytes_of(key.bytes));
        return found == clients_.end() ? nullptr : &found->second;
    }
    // By the key's number; null: the server does not serve it any more.
    const Role* role_of(uint32_t number) const noexcept {
        const auto found = roles_.find(number);
        return found == roles_.end() ? nullptr : &found->second;
    }

private:
    using Bytes = std::array<unsigned char, crypto::key_size>;
    static Bytes bytes_of(const unsigned char* key) noexcept {
        Bytes bytes;
        std::memcpy(bytes.data(), key, bytes.size());
        return bytes;
    }

    crypto::KeyPair own_;
    std::map<Bytes, Client> clients_;
    std::map<uint32_t, Role> roles_;
};

}  // namespace laplace

#endif
