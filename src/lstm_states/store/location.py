"""The location of a store: on disk, or at any other address that fsspec supports."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from fsspec import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from zarr.storage import FsspecStore, LocalStore


class Location:
    """The place of a Zarr store: a path, or an address like ``s3://bucket/name``."""

    def __init__(self, address: str | Path):
        self._address = str(address)
        self._files, self._path = url_to_fs(self._address)

    def __str__(self) -> str:
        return self._address

    def shared(self) -> str:
        """Return the address for processes with another working directory."""
        return self._path if isinstance(self._files, LocalFileSystem) else self._address

    def zarr(self) -> Any:
        """Return Zarr's own view of the place; nothing is made there yet."""
        if isinstance(self._files, LocalFileSystem):
            return LocalStore(self._path)  # renames files into place, which FsspecStore doesn't
        return FsspecStore.from_url(self._address)

    def attrs(self) -> dict[str, Any]:
        """Return the attributes of the Zarr group at the place, empty if there is none."""
        try:
            root = json.loads(self._files.cat_file(f"{self._path}/zarr.json"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return root.get("attributes", {})

    def check_free(self) -> None:
        """Refuse a place that holds anything; an empty folder is free.

        Raises:
            FileExistsError: naming the place.
        """
        self._files.invalidate_cache()
        try:
            names = self._files.ls(self._path, detail=False)
        except FileNotFoundError:
            return
        # One temporary file is left where a process was killed before it wrote anything.
        if any(not name.endswith(".partial") for name in names):
            raise FileExistsError(f"{self} exists; remove it or choose another path")

    def remove_temporary(self) -> None:
        """Remove the temporary files that ``LocalStore`` leaves when the process is killed."""
        for name in self._files.find(self._path):
            if name.endswith(".partial"):
                with suppress(FileNotFoundError):  # a thread of this process may just end its write
                    self._files.rm_file(name)

    def remove_all_but_root(self) -> None:
        """Remove everything but the root's own metadata; may be interrupted and repeated."""
        self._files.invalidate_cache()
        for name in self._files.ls(self._path, detail=False):
            if name.rpartition("/")[2] != "zarr.json":
                self._files.rm(name, recursive=True)
