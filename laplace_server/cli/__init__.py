"""The ``laplace-server`` command; it needs the extra ``cli`` (typer and rich).

The modules here import what they need when a command runs, so that ``--help`` and the short
commands start quickly. ``measure`` runs without the extra.
"""

from __future__ import annotations

import errno
import io
import sys

_OUTPUT_FAILS = {errno.ENOSPC, errno.EIO, errno.EPIPE, errno.EFBIG}
"""A full disk, a console that is gone. What else a command expects it tells by itself."""


def main() -> None:
    """Run the command line and exit with its status."""
    # Names and data come from servers; a console or a pipe may know fewer characters than they use.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            import rich  # noqa: F401
            import typer  # noqa: F401
        except ImportError as error:
            from laplace_server.wire.extras import how_to_install

            sys.stderr.write(
                f"laplace-server: the command line needs typer and rich ({error}).\n"
                f"{how_to_install('cli')}\n"
            )
            sys.exit(2)
        from laplace_server.cli.app import app

        # On Windows, "[1, 2]" and "~/data" would be looked for among the files here.
        app(prog_name="laplace-server", windows_expand_args=False)
    except KeyboardInterrupt:
        # While modules were still being imported.
        sys.exit(130)
    except OSError as error:
        if error.errno not in _OUTPUT_FAILS:
            raise
        from laplace_server.cli.failures import FAILED, give_up_output

        give_up_output(error)
        sys.exit(FAILED)
