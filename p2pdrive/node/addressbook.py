"""Where devices were last reached, and when they were last seen; kept across restarts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from p2pdrive.errors import AddressMalformed
from p2pdrive.limits import ANNOUNCED_ADDRESS_BYTES_MAX, DEVICES_MAX, RELAYED_ADDRESSES_MAX, SEEN_SECONDS
from p2pdrive.net.addresses import parse_address
from p2pdrive.wire.fields import fitted


@dataclass(slots=True)
class _Card:
    addresses: list[str] = field(default_factory=list)
    last_seen_ns: int = 0


class AddressBook:
    """Addresses by device id, the one that worked last first. At most some a device.

    ``changed`` since the home kept it; ``news``: addresses were learnt since whoever dials has looked.
    """

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        """``data`` is what ``to_json`` gave; what is not understood of it is left out."""
        self._cards: dict[bytes, _Card] = {}
        self.changed = self.news = False
        for device, card in list((data or {}).items())[:DEVICES_MAX]:
            try:
                addresses = [address for address in card["addresses"] if _sound(address)]
                found = _Card(addresses[:RELAYED_ADDRESSES_MAX], max(0, int(card["last_seen_ns"])))
                self._cards[bytes.fromhex(device)] = found
            except (ValueError, KeyError, TypeError, OverflowError):
                continue

    def to_json(self) -> dict[str, Any]:
        """For the home to keep."""
        self.changed = False
        return {
            device.hex(): {"addresses": card.addresses, "last_seen_ns": card.last_seen_ns}
            for device, card in self._cards.items()
        }

    def devices(self) -> tuple[bytes, ...]:
        """All that are in it."""
        return tuple(self._cards)

    def addresses(self, device: bytes) -> tuple[str, ...]:
        """Where to try to reach ``device``."""
        card = self._cards.get(device)
        return tuple(card.addresses) if card else ()

    def last_seen_ns(self, device: bytes) -> int | None:
        """When a connection to it was last open; None for never."""
        card = self._cards.get(device)
        return card.last_seen_ns if card and card.last_seen_ns else None

    def learn(self, device: bytes, addresses: Iterable[str], first: bool = False) -> bool:
        """Note addresses of a device; ``first``: it says so itself. True if that was news."""
        sound = [address for address in addresses if _sound(address)]
        card = self._card(device)
        if card is None or not sound:
            return False
        together = [*sound, *card.addresses] if first else [*card.addresses, *sound]
        kept = list(dict.fromkeys(together))[:RELAYED_ADDRESSES_MAX]
        if kept == card.addresses:
            return False
        card.addresses = kept
        self.changed = self.news = True
        return True

    def seen(self, device: bytes, now_ns: int) -> None:
        """A connection to the device is, or was just, open; noted once in a while."""
        card = self._card(device)
        if card is not None and abs(now_ns - card.last_seen_ns) >= SEEN_SECONDS * 10**9:
            card.last_seen_ns = now_ns
            self.changed = True

    def _card(self, device: bytes) -> _Card | None:
        if device not in self._cards and len(self._cards) >= DEVICES_MAX:
            return None  # strangers must not fill our memory
        return self._cards.setdefault(device, _Card())


def _sound(address: object) -> bool:
    """Whether it can be dialled, and passed on."""
    if not isinstance(address, str) or fitted(address, ANNOUNCED_ADDRESS_BYTES_MAX) != address:
        return False
    try:
        parse_address(address)
    except AddressMalformed:
        return False
    return True
