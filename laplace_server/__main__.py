"""``python -m laplace_server`` is the ``laplace-server`` command."""

from laplace_server.cli import main

if __name__ == "__main__":
    main()
