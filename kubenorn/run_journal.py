"""The journal of a cluster's runs: one file a run, in a folder of its own."""

import contextlib
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from kubenorn.errors import InputWrongError
from kubenorn.files import make_private_folder, write_atomically
from kubenorn.run_operator import is_gone
from kubenorn.run_record import Outcome, RunRecord, record_from_json, run_id
from kubenorn.run_text import one_sentence

KEPT_RUNS = 200
_RUNS = "[0-9]*.json"
_LEFTOVERS = ".[0-9]*.kubenorn-tmp"
_LEFTOVER_SECONDS = 3600


@dataclass(frozen=True)
class DamagedRecord:
    """A file of the journal that cannot be read, and why."""

    id: str
    problem: str


def runs_folder(artifacts: Path, cluster: str) -> Path:
    """Return the folder of a cluster's journal."""
    return artifacts / cluster / "runs"


class RunJournal:
    """The runs recorded in a folder. Several processes may write to it at the same time."""

    def __init__(self, folder: Path, *, kept: int = KEPT_RUNS) -> None:
        self.folder = folder
        self._kept = kept

    def begin(self, record: RunRecord) -> None:
        """Write a new record and remove the oldest ones above the bound.

        `record.id` moves on by milliseconds while another run has it. Raises InputWrongError when the folder
        cannot be written.
        """
        make_private_folder(self.folder)
        moment = record.started
        while not self._add(record):
            moment += timedelta(milliseconds=1)
            record.id = run_id(moment)
        self._remove_oldest()

    def update(self, record: RunRecord) -> None:
        """Write the record anew. Raises InputWrongError when that is not possible."""
        write_atomically(self._path(record.id), record.to_json())

    def load_all(self) -> list[RunRecord | DamagedRecord]:
        """Return every run, the newest first; one that says it runs though its process is gone as killed.

        Raises InputWrongError only when the folder itself cannot be read; without a folder there are no runs.
        """
        found = (self._load(path) for path in reversed(self._files()))
        return [each for each in found if each is not None]

    def _load(self, path: Path) -> RunRecord | DamagedRecord | None:
        try:
            record = record_from_json(path.read_bytes())
        except FileNotFoundError:  # removed just now, as one of the oldest
            return None
        except OSError as error:
            return DamagedRecord(path.stem, error.strerror or "cannot be read")
        except ValueError as error:
            return DamagedRecord(path.stem, one_sentence(str(error)))
        if record.id != path.stem:
            return DamagedRecord(path.stem, f"holds the run {one_sentence(record.id)}")
        if record.outcome is Outcome.RUNNING and is_gone(record.who):
            record.outcome = Outcome.KILLED
        return record

    def _files(self) -> list[Path]:
        try:
            found = list(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputWrongError(f"cannot read {self.folder}: {error.strerror}; mend that.") from error
        return sorted((path for path in found if path.match(_RUNS)), key=lambda path: path.stem)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _add(self, record: RunRecord) -> bool:
        """Write a record whole, or not at all where another run has its name; return whether it was written."""
        try:
            write_atomically(self._path(record.id), record.to_json(), only_new=True)
        except FileExistsError:
            return False
        return True

    def _remove_oldest(self) -> None:
        # What cannot be removed stays: no reason not to run.
        with contextlib.suppress(OSError):
            for path in self._files()[: -self._kept]:
                path.unlink(missing_ok=True)
            for path in self.folder.glob(_LEFTOVERS):
                if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS:
                    path.unlink(missing_ok=True)
