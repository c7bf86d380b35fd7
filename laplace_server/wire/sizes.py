"""Numbers of bytes as text."""


def size_text(size: float) -> str:
    """Return a number of bytes with its unit: ``67.1 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
