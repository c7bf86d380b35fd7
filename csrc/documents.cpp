#include "documents.h"

#include <chrono>
#include <new>
#include <stdexcept>
#include <utility>

namespace laplace {

namespace {

// Loans come back one by one, and letting go of each at once would be a wake-up for each.
constexpr std::chrono::milliseconds loans_gather{50};

}  // namespace

// std::mutex::lock may only fail through misuse (EDEADLK, EPERM); the noexcept
// functions below would then end the process, which is right for a broken lock.
using Lock = std::unique_lock<std::mutex>;

Text joined(const std::vector<std::string_view>& parts) noexcept {
    size_t size = 0;
    for (const std::string_view part : parts) size += part.size();
    try {
        auto text = std::make_shared<std::string>();
        text->reserve(size);
        for (const std::string_view part : parts) text->append(part);
        return text;
    } catch (const std::bad_alloc&) {
    } catch (const std::length_error&) {
    }
    return nullptr;
}

Documents::Documents(Text empty) : empty_(std::move(empty)) {
    for (Document& document : documents_) document.content.text = empty_;
}

uint64_t Documents::replace(document_id which, Text text, bool is_error, bool live, bool& serves) noexcept {
    Lock lock(bell_->mutex);
    Document& document = at(which);
    document.newest = ++last_generation_;
    document.live = live;
    const bool made = text != nullptr;
    if (made) {
        std::swap(document.content.text, text);  // the old text is freed after the lock
        document.content.is_error = is_error;
        document.content.generation = document.newest;
        document.content.order = ++last_order_;
    }
    const bool final = made && !live;
    serves = final && document.wanted > document.done;
    if (final) document.done = document.wanted;
    const uint64_t generation = document.newest;
    lock.unlock();
    return generation;
}

uint64_t Documents::touch(document_id which, uint64_t generation) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    if (document.newest != generation) return 0;
    document.newest = ++last_generation_;
    return document.newest;
}

uint64_t Documents::generation(document_id which) noexcept {
    const Lock lock(bell_->mutex);
    return at(which).newest;
}

bool Documents::is_live(document_id which) noexcept {
    const Lock lock(bell_->mutex);
    return at(which).live;
}

bool Documents::is_unmade(document_id which) noexcept {
    const Lock lock(bell_->mutex);
    return at(which).unmade();
}

Text Documents::error(document_id which) noexcept {
    const Lock lock(bell_->mutex);
    const Document& document = at(which);
    const Content& content = document.content;
    return content.is_error && !document.unmade() ? content.text : nullptr;
}

void Documents::mark_live(document_id which, uint64_t generation) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    if (document.newest == generation) document.live = true;
}

void Documents::take_locked(Document& document, Taken* taken) noexcept {
    // An error is told to everybody, and what is empty already is no value to hand over:
    // its generation stays, so that an undelivered value can still be put back.
    const Content& content = document.content;
    if (content.is_error || document.unmade() || content.text == empty_) return;
    taken->content = std::move(document.content);
    taken->live = document.live;
    taken->successor = document.newest = ++last_generation_;
    document.content = Content{empty_, false, document.newest, ++last_order_};
    document.live = false;
}

bool Documents::read(document_id which, bool take, Ticket& ticket, Content& content, Taken* taken) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    if ((document.live || document.unmade()) && (ticket.look == 0 || document.done < ticket.look)) {
        if (ticket.look == 0) {
            ticket.look = ++document.wanted;
            ticket.generation = document.newest;
            bell_->rung.notify_one();
        }
        return false;
    }
    content = document.content;
    if (take) take_locked(document, taken);
    return true;
}

bool Documents::read_now(document_id which, bool take, const Ticket& ticket, Content& content,
                         Taken* taken) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    if (document.unmade() && document.content.generation < ticket.generation) return false;
    content = document.content;
    if (take) take_locked(document, taken);
    return true;
}

void Documents::put_back(document_id which, const Taken& taken) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    if (document.newest != taken.successor) return;
    document.content = taken.content;
    document.newest = taken.content.generation;
    document.live = taken.live;
}

void Documents::ask_look(document_id which) noexcept {
    const Lock lock(bell_->mutex);
    at(which).look_asked = true;
    bell_->rung.notify_one();
}

int Documents::due_locked() noexcept {
    for (int which = 0; which < DOCUMENT_COUNT; ++which) {
        Document& document = at(static_cast<document_id>(which));
        const bool asked = document.look_asked || document.wanted > document.done;
        if (asked && (document.live || document.unmade())) return which;
        document.look_asked = false;
    }
    return LOOK_NO_MORE;
}

int Documents::wait_look() noexcept {
    Lock lock(bell_->mutex);
    bool gathered = false;
    for (;;) {
        if (closed_) return LOOK_NO_MORE;
        const int due = due_locked();
        if (due != LOOK_NO_MORE) return due;
        if (!bell_->loans_returned) {
            bell_->rung.wait(lock);
        } else if (!gathered) {
            gathered = bell_->rung.wait_for(lock, loans_gather) == std::cv_status::timeout;
        } else {
            bell_->loans_returned = false;
            return LOOK_AT_LOANS;
        }
    }
}

Look Documents::begin_look(document_id which) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    document.look_asked = false;
    return {document.newest, document.wanted, ++last_order_};
}

bool Documents::finish_look(document_id which, const Look& look, Text text, bool is_error,
                            bool live) noexcept {
    Lock lock(bell_->mutex);
    Document& document = at(which);
    const bool is_newest = look.generation == document.newest;
    if (look.order < document.content.order || !(is_newest || document.unmade())) return false;
    std::swap(document.content.text, text);
    document.content.is_error = is_error;
    document.content.generation = look.generation;
    document.content.order = look.order;
    if (is_newest) document.live = live;
    // What is final has not changed since, so it also serves those who came during the look.
    const uint64_t done = is_newest && !live ? document.wanted : look.covers;
    const bool serves = done > document.done;
    if (serves) document.done = done;
    lock.unlock();
    return serves;
}

void Documents::close() noexcept {
    const Lock lock(bell_->mutex);
    closed_ = true;
    bell_->rung.notify_all();
}

}  // namespace laplace
