// What waits to leave: its order, who owns it, and memory that is out.

#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "client/unsent.h"
#include "support/checks.h"
#include "support/failing_memory.h"
#include "support/random_numbers.h"

using laplace::most_pieces;
using laplace::Piece;
using laplace::Unsent;
using Kind = Unsent::Kind;

namespace {

int let_go_of = 0;

// A piece that tells when it is let go.
void* owner(const std::string& text) { return new std::string(text); }
void let_go(void* of) {
    delete static_cast<std::string*>(of);
    ++let_go_of;
}

void add(Unsent& unsent, const std::string& text, Kind kind = Kind::message) {
    unsent.reserve(1);
    void* const of = owner(text);
    unsent.add(of, *static_cast<std::string*>(of), kind);
}

std::string next(const Unsent& unsent, bool ready = true) {
    Piece pieces[most_pieces];
    const size_t count = unsent.next(pieces, ready);
    std::string text;
    for (size_t i = 0; i < count; ++i) text.append(static_cast<const char*>(pieces[i].data), pieces[i].size);
    return text;
}

void what_may_leave() {
    Unsent unsent;
    unsent.set_let_go(let_go);
    CHECK(unsent.empty() && !unsent.may_leave(true) && next(unsent).empty() && unsent.message_bytes() == 0);
    add(unsent, "opening", Kind::opening);
    CHECK(unsent.may_leave(false) && unsent.message_bytes() == 0);
    add(unsent, "one");
    add(unsent, "answer", Kind::answer);
    add(unsent, "two");
    CHECK(next(unsent, false) == "opening" && next(unsent) == "openingoneanswertwo");
    CHECK(unsent.message_bytes() == 6 && unsent.answer_bytes() == 6);
    let_go_of = 0;
    unsent.left(5);
    CHECK(next(unsent, false) == "ng" && let_go_of == 0);
    unsent.left(2);
    CHECK(!unsent.may_leave(false) && next(unsent, false).empty() && let_go_of == 1);
    CHECK(unsent.may_leave(true) && next(unsent) == "oneanswertwo");
    unsent.left(4);
    CHECK(next(unsent) == "nswertwo" && unsent.message_bytes() == 3 && unsent.answer_bytes() == 5 && let_go_of == 2);
    unsent.left(6);
    CHECK(next(unsent) == "wo" && unsent.message_bytes() == 2 && let_go_of == 3);
    unsent.left(2);
    CHECK(unsent.empty() && unsent.message_bytes() == 0 && unsent.answer_bytes() == 0 && let_go_of == 4);
}

void ends() {
    let_go_of = 0;
    {
        Unsent unsent;
        unsent.set_let_go(let_go);
        for (int i = 0; i < 10; ++i) add(unsent, "text");
        unsent.left(6);
        CHECK(let_go_of == 1);
        unsent.clear();
        CHECK(let_go_of == 10 && unsent.empty() && unsent.message_bytes() == 0);
        add(unsent, "text");
        CHECK(next(unsent) == "text");
    }
    CHECK(let_go_of == 11);
}

void as_much_as_one_call_takes() {
    Unsent unsent;
    unsent.set_let_go(let_go);
    std::string all;
    for (size_t i = 0; i < 2 * most_pieces; ++i) {
        all += static_cast<char>('a' + i % 26);
        add(unsent, all.substr(all.size() - 1));
    }
    CHECK(next(unsent) == all.substr(0, most_pieces));
    // Nobody reads these bytes.
    Unsent large;
    large.set_let_go([](void*) {});
    large.reserve(2);
    static char byte = 'x';
    large.add(nullptr, {&byte, Unsent::most_at_once - 1}, Kind::message);
    large.add(nullptr, {&byte, 10}, Kind::message);
    Piece pieces[most_pieces];
    CHECK(large.next(pieces, true) == 2 && pieces[1].size == 1);
    large.left(Unsent::most_at_once);
    CHECK(large.next(pieces, true) == 1 && pieces[0].size == 9 && large.message_bytes() == 9);
}

// Against a text that says what is left.
void at_random() {
    RandomNumbers random(14);
    Unsent unsent;
    unsent.set_let_go(let_go);
    std::string left;
    int added = 0;
    let_go_of = 0;
    for (int i = 0; i < 20'000; ++i) {
        if (random.one_in(2)) {
            const std::string text(1 + random.below(20), static_cast<char>('a' + random.below(26)));
            add(unsent, text, random.one_in(5) ? Kind::answer : Kind::message);
            left += text;
            ++added;
        } else if (!left.empty()) {
            const std::string found = next(unsent);
            CHECK(!found.empty() && left.compare(0, found.size(), found) == 0);
            const size_t bytes = random.below(found.size() + 1);
            unsent.left(bytes);
            left.erase(0, bytes);
        }
        CHECK(unsent.empty() == left.empty());
    }
    unsent.clear();
    CHECK(let_go_of == added && added > 9'000);
}

void without_memory() {
    for (uint64_t number = 1;; ++number) {
        Unsent unsent;
        unsent.set_let_go(let_go);
        std::string left;
        bool failed = false;
        const failing_memory::At at(number);
        for (int i = 0; i < 100; ++i) {
            try {
                unsent.reserve(1);
            } catch (const std::bad_alloc&) {
                failed = true;
                continue;
            }
            const failing_memory::Paused paused;
            const std::string text(1 + static_cast<size_t>(i), 'x');
            void* const of = owner(text);
            unsent.add(of, *static_cast<std::string*>(of), Kind::message);
            left += text;
        }
        CHECK(unsent.message_bytes() == left.size() && failed == at.reached());
        if (!at.reached()) break;
    }
}

}  // namespace

int main() {
    what_may_leave();
    ends();
    as_much_as_one_call_takes();
    at_random();
    without_memory();
    return checks::status();
}
