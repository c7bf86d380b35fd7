// Frames after CurveZMQ's handshake, and boxes that are sealed in slices.
//     curve_traffic_test LIBSODIUM

#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "crypto/long_box.h"
#include "support/checks.h"
#include "support/curve_ends.h"
#include "support/random_numbers.h"
#include "support/sodium_library.h"
#include "support/zmtp_events.h"

using namespace curve_ends;
using namespace laplace::zmtp::curve;
using laplace::crypto::LongBox;
using laplace::crypto::Nonce;
using laplace::crypto::sodium;

namespace {

std::string text_of(size_t size) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text += static_cast<char>(i * 7 + i / 256);
    return text;
}

const size_t sizes[] = {0,   1,   2,    30,   31,   32,    63,    64,    95,    96,    150,    221,   222,
                        223, 255, 256,  1000, 8191, 8192,  8193,  16415, 16416, 65535, 100000, 300000};

// Two ends of a connection that is through its handshake.
struct Pair {
    Pair() : ends(keys) { CHECK(ends.complete()); }
    CurveTraffic& client() { return ends.client.traffic(); }
    CurveTraffic& server() { return ends.server.traffic(); }
    const Keys keys;
    Ends ends;
};

// ---- what is right

void frames_of_all_sizes() {
    Pair pair;
    for (const bool by_client : {true, false}) {
        CurveTraffic& from = by_client ? pair.client() : pair.server();
        CurveTraffic& to = by_client ? pair.server() : pair.client();
        for (const size_t size : sizes) {
            for (const Kind kind : {Kind::last, Kind::more, Kind::command}) {
                const std::string text = text_of(size);
                const std::string frame = sealed(from, kind, text);
                const size_t inside = size + 33;
                CHECK(frame.size() == inside + (inside > 255 ? 9 : 2));
                CHECK(frame[0] == (inside > 255 ? 2 : 0));  // "more" is inside, and so is what is a command
                const Heard heard = opened(to, body_of(frame));
                CHECK(heard.fault == CurveFault::none && heard.kind == kind && heard.text == text);
            }
        }
    }
}

void numbers_on_the_wire() {
    Pair pair;
    for (uint64_t number = 3; number < 6; ++number) {
        const std::string body = body_of(sealed(pair.client(), Kind::last, "text"));
        CHECK(body.substr(0, 8) == "\7MESSAGE" && laplace::zmtp::read_uint64(&body[8]) == number);
    }
    for (uint64_t number = 2; number < 5; ++number)
        CHECK(laplace::zmtp::read_uint64(&body_of(sealed(pair.server(), Kind::last, "text"))[8]) == number);
}

void bodies_that_lie_in_their_place() {
    Pair pair;
    for (const size_t size : sizes) {
        std::vector<char> out(CurveTraffic::sealed_size(size), 'x');
        const std::string text = text_of(size);
        const size_t head = CurveTraffic::head_size(size);
        CHECK(out.size() == head + size);
        if (size != 0) std::memcpy(out.data() + head, text.data(), size);
        CHECK(pair.server().seal_in_place(Kind::more, out.data(), size));
        const std::string body = body_of({out.data(), out.size()});
        std::vector<char> exact(body.begin(), body.end());
        CurveTraffic::Opened result;
        CHECK(pair.client().open(exact.data(), exact.size(), result) == CurveFault::none);
        CHECK(result.body == text && result.kind == Kind::more);
        CHECK(result.body.data() == exact.data() + 33);  // not moved
    }
}

void frames_by_and_by() {
    Pair pair;
    for (const size_t size : sizes) {
        const std::string text = text_of(size);
        std::vector<char> out(CurveTraffic::sealed_size(size), 'x');
        LongBox box;
        CHECK(pair.client().begin_seal(Kind::last, text, out.data(), box));
        size_t steps = 0;
        for (; !box.is_sealed(); ++steps) CHECK(box.go_on(1));
        CHECK(steps == (size < 32 ? 0 : (size - 31 + LongBox::slice - 1) / LongBox::slice));
        const Heard heard = opened(pair.server(), body_of({out.data(), out.size()}));
        CHECK(heard.fault == CurveFault::none && heard.text == text);
    }
}

// ---- what is not

void every_byte_and_every_cut_counts() {
    Pair pair;
    const std::string body = body_of(sealed(pair.client(), Kind::more, text_of(100)));
    CHECK(body.size() == 133);
    for (size_t at = 0; at < body.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string other = body;
            other[at] = static_cast<char>(laplace::zmtp::byte_of(other[at]) ^ 1u << bit);
            const Heard heard = opened(pair.server(), other);
            CHECK(heard.fault != CurveFault::none && heard.text.empty());
            if (at < 8) CHECK(heard.fault == CurveFault::malformed);
            if (at >= 16) CHECK(heard.fault == CurveFault::not_authentic);
        }
        const CurveFault cut = opened(pair.server(), body.substr(0, at)).fault;
        CHECK(cut == (at < 33 ? CurveFault::malformed : CurveFault::not_authentic));
    }
    CHECK(opened(pair.server(), body + "x").fault == CurveFault::not_authentic);
    CHECK(opened(pair.server(), body).fault == CurveFault::none);
}

void frames_said_again_or_too_late() {
    Pair pair;
    const std::string first = body_of(sealed(pair.client(), Kind::last, "first"));
    const std::string second = body_of(sealed(pair.client(), Kind::last, "second"));
    const std::string third = body_of(sealed(pair.client(), Kind::last, "third"));
    CHECK(opened(pair.server(), first).text == "first");
    CHECK(opened(pair.server(), first).fault == CurveFault::replayed);
    CHECK(opened(pair.server(), third).text == "third");  // a gap is legal
    CHECK(opened(pair.server(), second).fault == CurveFault::replayed);
    CHECK(opened(pair.server(), third).fault == CurveFault::replayed);
    std::string zero = third;
    zero.replace(8, 8, std::string(8, '\0'));
    CHECK(opened(pair.server(), zero).fault == CurveFault::replayed);
}

void frames_of_others() {
    Pair pair, other;
    const std::string own = body_of(sealed(pair.client(), Kind::last, "to the server"));
    CHECK(opened(pair.client(), own).fault == CurveFault::not_authentic);  // said back
    CHECK(opened(other.server(), own).fault == CurveFault::not_authentic);
    CHECK(opened(pair.server(), "\5ERROR\3" "400").fault == CurveFault::malformed);
    CHECK(opened(pair.client(), "\5ERROR" + std::string(40, 'x')).fault == CurveFault::malformed);
    CHECK(opened(pair.client(), "").fault == CurveFault::malformed);
    CHECK(opened(pair.server(), own).fault == CurveFault::none);
}

// Sealed with the right key, and against the rules inside.
void flags_that_are_reserved() {
    for (unsigned flags = 0; flags < 256; ++flags) {
        Pair pair;
        std::string body = "\7MESSAGE" + std::string(8 + 16, '\0') + static_cast<char>(flags) + "text";
        put_number(7, &body[8]);
        const Nonce nonce = Nonce::of_number(client_message_prefix, &body[8]);
        CHECK(laplace::crypto::seal_in_place(&body[16], 5, nonce, pair.client().key()));
        const Heard heard = opened(pair.server(), body);
        CHECK(heard.fault == (flags <= 2 ? CurveFault::none : CurveFault::malformed));
        CHECK(heard.text == (flags <= 2 ? "text" : ""));
    }
}

void numbers_come_to_an_end() {
    Pair pair;
    pair.client().begin(UINT64_MAX - 2, 0);
    CHECK(opened(pair.server(), body_of(sealed(pair.client(), Kind::last, "a"))).text == "a");
    const std::string last = body_of(sealed(pair.client(), Kind::last, std::string(10000, 'b')));
    CHECK(opened(pair.server(), last).text.size() == 10000);
    LongBox box;
    char out[CurveTraffic::sealed_size(1)];
    CHECK(sealed(pair.client(), Kind::last, "c").empty());
    CHECK(sealed(pair.client(), Kind::last, std::string(10000, 'c')).empty());
    CHECK(!pair.client().seal_in_place(Kind::last, out, 1));
    CHECK(!pair.client().begin_seal(Kind::last, "c", out, box) && box.is_sealed());
    CHECK(opened(pair.server(), last).fault == CurveFault::replayed);
}

// ---- boxes

void long_boxes_are_boxes() {
    const Keys keys;
    SharedKey key;
    CHECK(laplace::crypto::share(keys.server->public_key, keys.client->secret_key, key));
    RandomNumbers random(20261126);
    for (int i = 0; i < 300; ++i) {
        const size_t size = random.below(i < 200 ? 300 : 100000);
        std::string text(1 + size, '\0'), number(8, '\0');
        sodium.randombytes_buf(&text[0], text.size());
        sodium.randombytes_buf(&number[0], number.size());
        const Nonce nonce = Nonce::of_number("CurveZMQMESSAGEC", number.data());
        std::vector<char> whole(16 + text.size()), sliced(16 + text.size());
        std::memcpy(whole.data() + 16, text.data(), text.size());
        CHECK(laplace::crypto::seal_in_place(whole.data(), text.size(), nonce, key));
        LongBox box;
        CHECK(box.begin(text[0], std::string_view(text).substr(1), sliced.data(), nonce, key));
        while (!box.is_sealed()) CHECK(box.go_on(1 + random.below(60000)));
        CHECK(whole == sliced);
    }
}

// Of libsodium's steps, the one of this number fails.
int steps_left = 0;
laplace::crypto::Sodium true_sodium;

int hashes(unsigned char* out, const unsigned char* in, const unsigned char* key, const unsigned char* constant) {
    return --steps_left == 0 ? -1 : true_sodium.core_hsalsa20(out, in, key, constant);
}
int encrypts(unsigned char* out, const unsigned char* in, unsigned long long size, const unsigned char* nonce,
             uint64_t block, const unsigned char* key) {
    return --steps_left == 0 ? -1 : true_sodium.stream_salsa20_xor_ic(out, in, size, nonce, block, key);
}
int begins(void* state, const unsigned char* key) {
    return --steps_left == 0 ? -1 : true_sodium.onetimeauth_poly1305_init(state, key);
}
int adds(void* state, const unsigned char* bytes, unsigned long long size) {
    return --steps_left == 0 ? -1 : true_sodium.onetimeauth_poly1305_update(state, bytes, size);
}
int ends_it(void* state, unsigned char* tag) {
    return --steps_left == 0 ? -1 : true_sodium.onetimeauth_poly1305_final(state, tag);
}

void slices_that_fail() {
    Pair pair;
    const sodium_library::Restored restored;
    true_sodium = sodium;
    sodium.core_hsalsa20 = hashes;
    sodium.stream_salsa20_xor_ic = encrypts;
    sodium.onetimeauth_poly1305_init = begins;
    sodium.onetimeauth_poly1305_update = adds;
    sodium.onetimeauth_poly1305_final = ends_it;
    const std::string text = text_of(40000);
    int step = 1;
    for (; step < 100; ++step) {
        steps_left = step;
        if (!sealed(pair.client(), Kind::last, text).empty()) break;
    }
    CHECK(step == 1 + 4 + 2 * 3 + 1);
}

void long_boxes_are_wiped() {
    const Keys keys;
    SharedKey key;
    CHECK(laplace::crypto::share(keys.server->public_key, keys.client->secret_key, key));
    const std::string text = text_of(40000);
    std::vector<char> out(16 + 1 + text.size());
    const Nonce nonce = Nonce::of_number("CurveZMQMESSAGEC", "\1\2\3\4\5\6\7\10");
    std::string subkey(32, '\0');
    CHECK(sodium.core_hsalsa20(laplace::crypto::bytes_of(&subkey[0]), nonce.bytes, key.bytes, nullptr) == 0);
    for (const bool to_the_end : {true, false}) {
        alignas(LongBox) unsigned char memory[sizeof(LongBox)];
        const auto is_there = [&] {
            return std::string_view(reinterpret_cast<const char*>(memory), sizeof memory).find(subkey) !=
                   std::string_view::npos;
        };
        LongBox* const box = new (memory) LongBox;
        CHECK(box->begin('\0', text, out.data(), nonce, key) && is_there());
        if (to_the_end) CHECK(box->go_on(text.size()) && box->is_sealed() && !is_there());
        box->~LongBox();
        CHECK(!is_there());
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2 || !sodium_library::load(argv[1])) return 2;
    frames_of_all_sizes();
    numbers_on_the_wire();
    bodies_that_lie_in_their_place();
    frames_by_and_by();
    every_byte_and_every_cut_counts();
    frames_said_again_or_too_late();
    frames_of_others();
    flags_that_are_reserved();
    numbers_come_to_an_end();
    long_boxes_are_boxes();
    slices_that_fail();
    long_boxes_are_wiped();
    return checks::status();
}
