"""What a runtime provides: a callable with the signature of one phase, for arguments of one kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

if TYPE_CHECKING:
    from vsvfi.engine.placement import Placement
    from vsvfi.models.family import BuildConfig, Family, Variant
    from vsvfi.models.interpolator import Interpolator

type Call = Callable[..., object]
"""Has the signature of a phase; see `Interpolator`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One method of a network that a runtime may run: pure, from tensors to tensors (`Interpolator.pieces`).

    Attributes:
        network: on its device, ready for inference.
        name: of the method: a phase, or a part of one.
        family, variant, build: what the network was built from.
        placement: its device, type and runtime; `placement.runtime.provider` is the provider that the user named.
    """

    network: Interpolator[Any, Any]
    name: str
    family: Family
    variant: Variant
    build: BuildConfig
    placement: Placement

    @property
    def eager(self) -> Call:
        """The method itself."""
        return cast("Call", getattr(self.network, self.name))


class Runtime(ABC):
    """A way to run the phases of networks.

    Errors from `specialise` and from its results, apart from lack of memory, make the network run eagerly from then on.

    Attributes:
        summary: one line for `vsvfi doctor`.
        providers: that may be named after a colon.
        memory_share: what it takes beside the activations of eager execution, in proportion to them.
        default_on: kinds of devices on which `runtime="auto"` chooses it.
    """

    summary: ClassVar[str]
    providers: ClassVar[tuple[str, ...]] = ()
    memory_share: ClassVar[float] = 0.0
    default_on: ClassVar[frozenset[str]] = frozenset()

    def obstacle(self, device: str, provider: str | None = None) -> str | None:
        """Why it cannot run on this kind of device ("cpu", "cuda") here, or None. Must not change anything.

        Args:
            device: the kind of device.
            provider: that the user named; without one, None if any provider works.
        """
        return None

    def declines(self, family: Family, variant: Variant) -> str | None:
        """Why it cannot run this model, or None."""
        return None

    def context(self) -> Hashable:
        """What a specialised callable depends on besides its arguments, such as the current stream."""
        return None

    @abstractmethod
    def specialise(self, piece: Piece, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Return a callable for calls like this one.

        Called once for each `signature.signature_of` of arguments, that is for all shapes, strides, types, devices and
        values other than tensors, and each `context()`. Its results must not share memory with later results.

        Args:
            piece: what to run.
            args, kwargs: of the first such call, whose tensors must neither be changed nor kept.
        """
