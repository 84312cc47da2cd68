"""Files that are whole or not there."""

from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replaces `path` at once, so a full disk or a Ctrl-C leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    try:
        half.write_bytes(content)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
