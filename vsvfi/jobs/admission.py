"""Admit the workers of a cluster that have the versions with which a job was planned.

Frames of another torch or VapourSynth may differ, and chunks of another ffmpeg may not fit together. Workers that join
later are asked as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from vsvfi.errors import VsvfiError
from vsvfi.jobs.manifest import Manifest, same_version
from vsvfi.jobs.remote import own_versions, python_version, state_versions

_REMEDY = "install the same versions on all machines"


def mismatches(planned: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return what differs from the plan, in words; packages that it did not have do not count."""
    differing = []
    for name, wanted in planned.items():
        version = found.get(name)
        if version is None:
            differing.append(f"no {name} instead of {wanted}")
        elif not same_version(wanted, version):
            differing.append(f"{name} {version} instead of {wanted}")
    return differing


def check_scheduler(client: Any) -> None:
    """Raise if the scheduler cannot read the tasks of a job, which it does although it renders nothing.

    Raises:
        VsvfiError: vsvfi is missing on its machine, or it or Python has another version.
    """
    try:
        differing = mismatches(own_versions(), client.run_on_scheduler(own_versions))
    except Exception as error:  # whatever fails there is raised here
        differing = [f"{type(error).__name__}: {error}"]
    if differing:
        raise VsvfiError(f"the Dask scheduler cannot run this job ({', '.join(differing)}); {_REMEDY}")


class Admission:
    """Asks each worker once.

    The question is no task: one that a worker cannot read, as vsvfi is missing there, would end that worker.

    Args:
        client: of the cluster.
        manifest: of the job.
        note: reports a line.
    """

    def __init__(self, client: Any, manifest: Manifest, note: Callable[[str], None]) -> None:
        self._client, self._note = client, note
        self._planned = {"Python": python_version(), **manifest.identity["version of"]}
        self._encoder = str(manifest.encoding["encoder"]), str(manifest.encoding["muxer"])
        self._asked: dict[str, Future[Any]] = {}
        self._admitted: set[str] = set()
        self._refused: dict[str, str] = {}
        self._ever = False

    def admitted(self, found: Mapping[str, str]) -> dict[str, str]:
        """Return the workers that may render; never waits for an answer.

        Args:
            found: names of the cluster's workers by address.

        Raises:
            VsvfiError: the cluster has workers, and all of them have other versions.
        """
        self._asked = {address: answer for address, answer in self._asked.items() if address in found}
        self._admitted.intersection_update(found)
        self._refused = {address: why for address, why in self._refused.items() if address in found}
        for address, name in found.items():
            if address in self._asked:
                self._take(address, name)
            elif address not in self._admitted and address not in self._refused:
                self._asked[address] = self._ask(address)
        if self._refused and not self._ever and len(self._refused) == len(found):
            reasons = "; ".join(f"{found[address]}: {why}" for address, why in self._refused.items())
            raise VsvfiError(f"no worker of the cluster can render this job ({reasons}); {_REMEDY}")
        return {address: name for address, name in found.items() if address in self._admitted}

    @property
    def waiting(self) -> bool:
        """Whether a worker has not answered yet."""
        return bool(self._asked)

    def _ask(self, address: str) -> Future[Any]:
        """Ask a worker in a thread, which ends with this process if there is no answer."""
        answer: Future[Any] = Future()

        def ask() -> None:
            try:
                stated = self._client.run(state_versions, *self._encoder, workers=[address], on_error="return")
                answer.set_result(stated[address])
            except Exception as error:  # the worker or the scheduler is lost
                answer.set_exception(error)

        threading.Thread(target=ask, daemon=True).start()
        return answer

    def _take(self, address: str, name: str) -> None:
        answer = self._asked[address]
        if not answer.done():
            return
        if answer.exception() is not None:  # the connection, not the worker
            self._asked[address] = self._ask(address)
            return
        del self._asked[address]
        stated = answer.result()
        if isinstance(stated, Exception):  # vsvfi is missing there, or too old for the question
            reason = f"it cannot state its versions ({type(stated).__name__}: {stated})"
        else:
            reason = stated.get("error") or ", ".join(mismatches(self._planned, stated["versions"]))
        if not reason:
            self._admitted.add(address)
            self._ever = True
            return
        self._refused[address] = reason
        self._note(f"worker {name} is not used: {reason}; {_REMEDY}")
