# What _core.pyx uses of the C++ in this folder.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp cimport bool
from libcpp.deque cimport deque
from libcpp.memory cimport shared_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from "<string_view>" namespace "std" nogil:
    cdef cppclass string_view:
        string_view() noexcept
        string_view(const char* text, size_t size) noexcept


cdef extern from "scan.h" nogil:
    ctypedef struct ls_value:
        const char* text
        size_t size
        uint8_t kind
        uint8_t truth
        uint8_t escaped
    ctypedef struct ls_envelope:
        ls_value version
        ls_value cmd
        ls_value sender "from"
        ls_value payload
    int LS_ABSENT
    int ls_scan(const char* data, size_t size, ls_envelope* out) noexcept


cdef extern from "<atomic>" namespace "std" nogil:
    cdef cppclass atomic_bool "std::atomic<bool>":
        bool load() noexcept
        void store(bool value) noexcept


cdef extern from "zmq_api.h" namespace "laplace" nogil:
    cdef enum class load_status:
        loaded
        not_found
        symbol_missing
        too_old
    load_status c_load_zmq "laplace::load_zmq"(
        const char* path, bool only_loaded, const char** missing) noexcept
    const void* zmq_identity() noexcept
    ctypedef struct zmq_api:
        void (*version)(int* major, int* minor, int* patch) noexcept
    zmq_api zmq


cdef extern from "counters.h" namespace "laplace" nogil:
    cdef cppclass Counter:
        uint64_t load() noexcept
        void store(uint64_t value) noexcept
    cdef cppclass LatencyHistogram:
        Counter* buckets
    const size_t bucket_count "laplace::LatencyHistogram::bucket_count"
    const unsigned max_commands "laplace::Counters::max_commands"
    int ERROR_KINDS
    cdef cppclass PerCommand "laplace::Counters::PerCommand":
        Counter native
        Counter python
    cdef cppclass Counters:
        PerCommand* commands
        Counter* errors
        Counter bytes_in
        Counter bytes_out
        Counter pending
        Counter pending_bytes
        Counter pending_high_water
        Counter parked_bytes
        Counter stale_gets
        Counter refreshes
        Counter connections
        Counter connections_total
        LatencyHistogram native_latency
        LatencyHistogram python_latency


cdef extern from "reply_template.h" namespace "laplace" nogil:
    int HOLE_COUNT
    cdef cppclass Piece "laplace::ReplyTemplate::Piece":
        string literal
        int hole
    cdef cppclass ReplyTemplate:
        vector[Piece] pieces


cdef extern from "dispatch.h" namespace "laplace" nogil:
    cdef cppclass Command:
        string name
        int action
        unsigned index
    cdef cppclass DispatchTable:
        vector[Command] commands
        vector[string] accepted_versions
        ReplyTemplate ping
        ReplyTemplate info
        ReplyTemplate get
        ReplyTemplate arrays
        ReplyTemplate error
        string default_version
        string unknown
        string busy
        string stopping


cdef extern from "bell.h" namespace "laplace" nogil:
    cdef cppclass Bell:
        pass


cdef extern from "documents.h" namespace "laplace" nogil:
    cdef enum document_id:
        DOCUMENT_DATA
        DOCUMENT_INFO
    ctypedef shared_ptr[const string] Text
    Text joined(const vector[string_view]& parts) noexcept
    cdef cppclass Content:
        Text text
        bool is_error
        uint64_t generation
    cdef cppclass Taken:
        pass
    cdef cppclass Ticket:
        pass
    cdef cppclass Look:
        uint64_t generation
    cdef enum attention:
        LOOK_NO_MORE
        LOOK_AT_LOANS
    cdef cppclass Documents:
        uint64_t touch(document_id which, uint64_t generation) noexcept
        uint64_t generation(document_id which) noexcept
        bool is_live(document_id which) noexcept
        bool is_unmade(document_id which) noexcept
        Text error(document_id which) noexcept
        void mark_live(document_id which, uint64_t generation) noexcept
        bool read_now(document_id which, bool take, const Ticket& ticket, Content& content,
                      Taken* taken) noexcept
        void put_back(document_id which, const Taken& taken) noexcept
        void ask_look(document_id which) noexcept
        int wait_look() noexcept
        Look begin_look(document_id which) noexcept
        const shared_ptr[Bell]& bell() noexcept


cdef extern from "interfaces.h" namespace "laplace" nogil:
    cdef cppclass InterfaceAddress:
        string name
        string address
        bool running
        bool loopback
        bool internal
    int list_interfaces(vector[InterfaceAddress]& found) noexcept


cdef extern from "message.h" namespace "laplace" nogil:
    cdef cppclass Message:
        Message() noexcept
        bool allocate(size_t size) noexcept
        char* data() noexcept
        size_t size() noexcept


cdef extern from "loans.h" namespace "laplace" nogil:
    cdef struct Loan:
        void* object
        Loan* next
    bool lend(Message& message, void* object, void* data, size_t size,
              const shared_ptr[Bell]& bell) noexcept
    bool any_returned() noexcept
    Loan* take_returned() noexcept
    void free_loan(Loan* loan) noexcept


cdef extern from "<thread>" namespace "std::this_thread" nogil:
    void yield_now "std::this_thread::yield"() noexcept


cdef extern from "<chrono>" namespace "std::chrono" nogil:
    cdef cppclass time_point "std::chrono::steady_clock::time_point":
        bool operator<=(time_point other) noexcept


cdef extern from "stream.h" namespace "laplace" nogil:
    cdef cppclass Range:
        uint64_t first
        uint64_t last
    cdef cppclass History:
        size_t bytes
        uint64_t updates
        bool block
    ctypedef shared_ptr[Counter] Cursor
    cdef cppclass Stream:
        uint64_t append(
            string_view text, bool loose, double time, vector[Message]& arrays) except +
        bool wait_for_followers(
            size_t text_bytes, const vector[Message]& arrays, time_point until) noexcept
        vector[Cursor] give_up(size_t text_bytes, const vector[Message]& arrays) except +
        void set_history(History history) noexcept
        Range range() noexcept
        size_t bytes() noexcept
        bool word_is_wanted() noexcept
    const size_t largest_text "laplace::Stream::largest_text"
    const uint64_t would_cost "laplace::Stream::would_cost"
    const uint64_t sealed "laplace::Stream::sealed"


cdef extern from "stream_wire.h" namespace "laplace" nogil:
    ctypedef struct StreamHeader:
        char* magic
        uint8_t version
        uint8_t kind
        uint16_t arrays
        uint32_t subscription
        uint32_t count
        uint64_t epoch
        uint64_t first
        uint64_t last
    const char* stream_magic
    const uint8_t stream_version


cdef extern from "subscribers.h" namespace "laplace" nogil:
    cdef cppclass Ledger:
        string stream
        string who
        Counter first
        Counter sent
        Counter lost
        Counter next
        Counter confirmed
        Counter messages
        Counter bytes
        Counter allowed_messages
        Counter allowed_bytes
        atomic_bool waited_for
    cdef cppclass Streams:
        shared_ptr[Stream] declare(
            const string& name, const string& json, History history, bool change) except +
        vector[shared_ptr[Ledger]] ledgers() except +
        vector[shared_ptr[Ledger]] give_up(const vector[Cursor]& cursors) except +
    cdef cppclass Subscription:
        shared_ptr[Stream] stream
        shared_ptr[Ledger] ledger
        uint32_t id
        bool latest_only


cdef extern from "handover.h" namespace "laplace" nogil:
    cdef cppclass Job:
        uint64_t id
        Message body
        bool strict
        bool one_frame
    cdef enum render:
        RENDER_GET
        RENDER_ARRAYS
    cdef cppclass Finished:
        uint64_t id
        string reply
        int render
        vector[Message] arrays
        Taken taken
        string to
        string version
        unsigned command
        int error
        Subscription subscription
    cdef cppclass Answered:
        unsigned command
        string sender "from"
    cdef enum class Attention:
        job
        log
        closed
    cdef cppclass Inbox:
        bint try_next(Job& job, Attention& attention) noexcept
        Attention next(Job& job) noexcept
        vector[Answered] take_log() noexcept


cdef extern from "shared.h" namespace "laplace" nogil:
    cdef cppclass Limits:
        size_t pending
        size_t pending_bytes
        size_t peer_pending
        size_t peer_pending_bytes
        size_t peer_parked_bytes
    cdef cppclass Config:
        string address
        uint64_t epoch
        int64_t max_message_bytes
        int refresh_timeout_ms
        int spin_us
        bool real_time
        int callback_grace_ms
        int flush_ms
        Limits limits
    time_point deadline_after(double seconds) noexcept
    uint64_t now_ns() noexcept
    double wall_clock_s() noexcept
    cdef cppclass Shared:
        Documents documents
        Inbox inbox
        Counters counters
        Streams streams
        atomic_bool take_after_get
        atomic_bool log_answers
        void set_table(shared_ptr[const DispatchTable] table) noexcept
        void wake() noexcept


cdef extern from "real_time.h" namespace "laplace" nogil:
    bool c_may_be_real_time "laplace::may_be_real_time"() noexcept


cdef extern from "server.h" namespace "laplace" nogil:
    cdef cppclass Server:
        int start() noexcept
        void request_stop() noexcept
        bool wait_ended(int milliseconds) noexcept
        bool started() noexcept
        int fault() noexcept
        string endpoint() except +
        bool holds_port() noexcept
        uint64_t replace_document(document_id which, Text text, bool is_error,
                                  bool live) noexcept
        void finish_look(document_id which, const Look& look, Text text, bool is_error,
                         bool live) noexcept
        void finish_job(Finished finished) except +
        Shared shared
    shared_ptr[Server] create_server "laplace::Server::create"(
        const Config& config, int& error) noexcept
    unsigned fork_count() noexcept
    bool watch_forks() noexcept
