# What the loop sees of a request, and how it answers: the dispatch table, made of what Python says.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libcpp.memory cimport make_shared, shared_ptr
from libcpp.utility cimport move

from base.counters cimport max_commands
from requests.dispatch cimport Action as NativeAction, Command, DispatchTable
from requests.reply_template cimport Hole as NativeHole, Piece, ReplyTemplate
from requests.scan cimport LS_ABSENT, ls_envelope, ls_scan, ls_value


cdef object described(const ls_value& value):
    if value.kind == LS_ABSENT:
        return None
    return value.text[:value.size], value.kind, value.truth, value.escaped != 0


def scan_envelope(bytes data not None):
    """What the loop sees: (verdict, {member: None or (text, kind, truth, escaped)})."""
    cdef ls_envelope found
    cdef int verdict = ls_scan(PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data), &found)
    return verdict, {
        "version": described(found.version),
        "cmd": described(found.cmd),
        "from": described(found.sender),
        "payload": described(found.payload),
    }


cdef void fill_template(ReplyTemplate& template, list pieces) except *:
    cdef Piece piece
    for literal, hole in pieces:
        piece.literal = cpp(literal)
        piece.hole = <NativeHole><int>hole
        template.pieces.push_back(piece)


cdef shared_ptr[const DispatchTable] dispatch_table(
    list commands, list accepted_versions, dict templates, dict texts, dict rights
) except *:
    cdef DispatchTable table
    cdef Command command
    for name, action, index, roles in commands:
        command.name = cpp(name)
        command.action = <NativeAction><int>action
        command.index = index if index < max_commands else 0
        command.roles = roles
        table.commands.push_back(command)
    table.other.roles = rights["other"]
    for name in rights["role_names"]:
        table.role_names.push_back(cpp(name))
    before, between, after = rights["denial"]
    table.denied_before = cpp(before)
    table.denied_between = cpp(between)
    table.denied_after = cpp(after)
    for version in accepted_versions:
        table.accepted_versions.push_back(cpp(version))
    fill_template(table.ping, templates["ping"])
    fill_template(table.info, templates["info"])
    fill_template(table.get, templates["get"])
    fill_template(table.arrays, templates["arrays"])
    fill_template(table.error, templates["error"])
    table.default_version = cpp(texts["version"])
    table.unknown = cpp(texts["unknown"])
    table.busy = cpp(texts["busy"])
    table.stopping = cpp(texts["stopping"])
    table.stopping_begun = cpp(texts["stopping_begun"])
    table.too_large = cpp(texts["too_large"])
    table.too_many_frames = cpp(texts["too_many_frames"])
    return <shared_ptr[const DispatchTable]>make_shared[DispatchTable](move(table))
