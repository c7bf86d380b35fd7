#include "documents/documents.h"

#include <chrono>
#include <new>
#include <stdexcept>
#include <utility>

namespace laplace {

namespace {

// Borrowed buffers come back one by one, and letting go of each at once would be a wake-up for each.
constexpr std::chrono::milliseconds returns_gather{50};

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

uint64_t Documents::replace(DocumentId which, Text text, bool is_error, bool live, bool& serves) noexcept {
    Lock lock(bell_->mutex);
    Document& document = at(which);
    document.changes();
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

uint64_t Documents::touch(DocumentId which, uint64_t generation) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    if (document.newest != generation) return 0;
    document.changes();
    document.newest = ++last_generation_;
    return document.newest;
}

uint64_t Documents::generation(DocumentId which) noexcept {
    const Lock lock(bell_->mutex);
    return at(which).newest;
}

bool Documents::is_live(DocumentId which) noexcept {
    const Lock lock(bell_->mutex);
    return at(which).live;
}

bool Documents::is_unmade(DocumentId which) noexcept {
    const Lock lock(bell_->mutex);
    return at(which).unmade();
}

Text Documents::error(DocumentId which) noexcept {
    const Lock lock(bell_->mutex);
    const Document& document = at(which);
    const Content& content = document.content;
    return content.is_error && !document.unmade() ? content.text : nullptr;
}

void Documents::mark_live(DocumentId which, uint64_t generation) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    if (document.newest != generation) return;
    document.changes();
    document.live = true;
}

void Documents::take_locked(Document& document, Taken* taken) noexcept {
    // An error is told to everybody, and what is empty already is no value to hand over:
    // its generation stays, so that an undelivered value can still be put back.
    const Content& content = document.content;
    if (content.is_error || document.unmade() || content.text == empty_) return;
    document.changes();
    taken->content = std::move(document.content);
    taken->live = document.live;
    taken->successor = document.newest = ++last_generation_;
    document.content = Content{empty_, false, document.newest, ++last_order_};
    document.live = false;
}

bool Documents::read(DocumentId which, bool take, Ticket& ticket, Content& content, Taken* taken) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    if ((document.live || document.unmade()) && (ticket.refresh == 0 || document.done < ticket.refresh)) {
        if (ticket.refresh == 0) {
            ticket.refresh = ++document.wanted;
            ticket.generation = document.newest;
            bell_->rung.notify_one();
        }
        return false;
    }
    content = document.content;
    content.state = document.live || document.unmade() ? 0 : document.state.load(std::memory_order_relaxed);
    if (take) take_locked(document, taken);
    return true;
}

bool Documents::read_now(DocumentId which, bool take, const Ticket& ticket, Content& content,
                         Taken* taken) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    if (document.unmade() && document.content.generation < ticket.generation) return false;
    content = document.content;
    if (take) take_locked(document, taken);
    return true;
}

void Documents::put_back(DocumentId which, const Taken& taken) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    if (document.newest != taken.successor) return;
    document.changes();
    document.content = taken.content;
    document.newest = taken.content.generation;
    document.live = taken.live;
}

void Documents::ask_refresh(DocumentId which) noexcept {
    const Lock lock(bell_->mutex);
    at(which).refresh_asked = true;
    bell_->rung.notify_one();
}

RefresherTask Documents::due_locked() noexcept {
    for (const auto& [which, task] : {std::pair(DocumentId::data, RefresherTask::data),
                                      std::pair(DocumentId::info, RefresherTask::info)}) {
        Document& document = at(which);
        const bool asked = document.refresh_asked || document.wanted > document.done;
        if (asked && (document.live || document.unmade())) return task;
        document.refresh_asked = false;
    }
    return RefresherTask::end;
}

RefresherTask Documents::wait_refresh() noexcept {
    Lock lock(bell_->mutex);
    bool gathered = false;
    for (;;) {
        if (closed_) return RefresherTask::end;
        const RefresherTask due = due_locked();
        // In turn, so that neither keeps the other waiting.
        if (bell_->jobs_came && (due == RefresherTask::end || !jobs_last_)) {
            bell_->jobs_came = false;
            jobs_last_ = true;
            return RefresherTask::jobs;
        }
        if (due != RefresherTask::end) {
            jobs_last_ = false;
            return due;
        }
        if (!bell_->buffers_returned) {
            bell_->rung.wait(lock);
        } else if (!gathered) {
            gathered = bell_->rung.wait_for(lock, returns_gather) == std::cv_status::timeout;
        } else {
            bell_->buffers_returned = false;
            return RefresherTask::release;
        }
    }
}

Refresh Documents::begin_refresh(DocumentId which) noexcept {
    const Lock lock(bell_->mutex);
    Document& document = at(which);
    document.refresh_asked = false;
    return {document.newest, document.wanted, ++last_order_};
}

bool Documents::finish_refresh(DocumentId which, const Refresh& refresh, Text text, bool is_error,
                            bool live) noexcept {
    Lock lock(bell_->mutex);
    Document& document = at(which);
    const bool is_newest = refresh.generation == document.newest;
    if (refresh.order < document.content.order || !(is_newest || document.unmade())) return false;
    document.changes();
    std::swap(document.content.text, text);
    document.content.is_error = is_error;
    document.content.generation = refresh.generation;
    document.content.order = refresh.order;
    if (is_newest) document.live = live;
    // What is final has not changed since, so it also serves those who came during the refresh.
    const uint64_t done = is_newest && !live ? document.wanted : refresh.covers;
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
