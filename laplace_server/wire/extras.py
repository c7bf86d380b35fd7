"""What to say where a package of an extra is missing."""


def how_to_install(extra: str) -> str:
    """Say how to install this package with an extra: PyPI has only its predecessor yet."""
    return (
        f"To install it: pip install '.[{extra}]' in a clone of the repository, or, with the "
        f"wheels of a release in FOLDER, pip install --find-links FOLDER "
        f"'laplace-server[{extra}]>=1.dev0'"
    )
