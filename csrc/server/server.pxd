from libc.stdint cimport uint64_t
from libcpp cimport bool
from libcpp.memory cimport shared_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from base.counters cimport Counters
from base.roles cimport Roles
from requests.clients cimport Seen
from requests.denials cimport DenialCount
from requests.dispatch cimport DispatchTable
from server.config cimport Config
from server.document_writer cimport DocumentWriter
from server.publisher cimport Publisher
from server.worker cimport Worker
from transport.server_keys cimport ServerKeys


cdef extern from "server/server.h" namespace "laplace" nogil:
    cdef cppclass Server:
        int start() noexcept
        void request_stop() noexcept
        bool wait_ended(int milliseconds) noexcept
        bool started() noexcept
        int fault() noexcept
        string endpoint() except +
        bool holds_port() noexcept
        void set_table(shared_ptr[const DispatchTable] table) noexcept
        void set_take_after_get(bool take) noexcept
        void set_log_answers(bool log) noexcept
        void use_keys(shared_ptr[const ServerKeys] keys, bool anonymous) noexcept
        void end_subscriptions(Roles roles) noexcept
        vector[DenialCount] denials() except +
        vector[Seen] clients(uint64_t now) except +
        uint64_t clients_left_out() noexcept
        const Counters& counters() noexcept
        DocumentWriter& documents() noexcept
        Publisher& streams() noexcept
        Worker& jobs() noexcept
    shared_ptr[Server] create_server "laplace::Server::create"(
        const Config& config, int& error) noexcept
    unsigned fork_count() noexcept
    bool watch_forks() noexcept
