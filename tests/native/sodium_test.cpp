// The table of libsodium's functions: all of them, or none.
//     sodium_test LIBSODIUM

#include <cstring>
#include <set>
#include <string>

#include "crypto/sodium.h"
#include "support/checks.h"
#include "support/sodium_library.h"

using laplace::crypto::have_sodium;
using laplace::crypto::load_sodium;
using laplace::crypto::sodium;
using laplace::crypto::SodiumStatus;

namespace {

void* library = nullptr;
std::set<std::string> asked;
std::string hidden;

void* find(void* where, const char* name) {
    CHECK(where == &library);
    asked.insert(name);
    return name == hidden ? nullptr : sodium_library::find(library, name);
}

int cannot_begin() { return -1; }
size_t much() { return 257; }

void* find_one_that_cannot(void* where, const char* name) {
    if (std::strcmp(name, "sodium_init") == 0) return reinterpret_cast<void*>(cannot_begin);
    return find(where, name);
}

void* find_another_version(void* where, const char* name) {
    if (std::strcmp(name, "crypto_onetimeauth_poly1305_statebytes") == 0) return reinterpret_cast<void*>(much);
    return find(where, name);
}

void one_that_lacks_something() {
    hidden = "no name";
    CHECK(load_sodium(find_one_that_cannot, &library, nullptr) == SodiumStatus::unusable && !have_sodium());
    CHECK(load_sodium(find_another_version, &library, nullptr) == SodiumStatus::unusable && !have_sodium());
    CHECK(asked.size() == 15);
    const std::set<std::string> names = asked;
    for (const std::string& name : names) {
        hidden = name;
        const char* missing = nullptr;
        CHECK(load_sodium(find, &library, &missing) == SodiumStatus::symbol_missing);
        CHECK(missing == name && !have_sodium() && sodium.randombytes_buf == nullptr);
        CHECK(load_sodium(find, &library, nullptr) == SodiumStatus::symbol_missing);
    }
    hidden.clear();
}

void* find_nothing(void*, const char*) { return nullptr; }

void one_that_has_all() {
    CHECK(load_sodium(find, &library, nullptr) == SodiumStatus::loaded && have_sodium());
    const auto before = sodium.box_beforenm;
    CHECK(load_sodium(find_nothing, nullptr, nullptr) == SodiumStatus::loaded);  // it stays as it is
    CHECK(sodium.box_beforenm == before && before != nullptr);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    library = sodium_library::open(argv[1]);
    if (!CHECK(library != nullptr)) return checks::status();
    one_that_lacks_something();
    one_that_has_all();
    return checks::status();
}
