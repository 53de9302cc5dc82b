"""librdkafka's mock cluster by its C interface, out of the library that `confluent-kafka` brings along.

The Python client can start a mock cluster but not set it up: a group would
wait 3 s for company, and every topic have 4 partitions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import confluent_kafka

PRODUCER: Final = 0
ERROR_BYTES: Final = 512
QUIET: Final = ((b"bootstrap.servers", b"127.0.0.1:1"), (b"log_level", b"0"))
"""The handle that owns the cluster is never used as a client."""


class MockUnavailable(Exception):
    """The client's library is not where a wheel puts it."""


def _library() -> Any:
    """Return the client's C library, the very one that is loaded already."""
    package = Path(confluent_kafka.__file__).parent
    for folder, pattern in ((package.parent / "confluent_kafka.libs", "*.so*"), (package / ".dylibs", "*.dylib")):
        for path in sorted(folder.glob(f"librdkafka{pattern}")):
            return _typed(ctypes.CDLL(str(path)))
    raise MockUnavailable(f"no librdkafka beside {package}")


def _typed(library: Any) -> Any:
    """Declare the functions in use (rdkafka.h, rdkafka_mock.h)."""
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, ()),
        ("rd_kafka_conf_set", number, (pointer, text, text, text, ctypes.c_size_t)),
        ("rd_kafka_new", pointer, (number, pointer, text, ctypes.c_size_t)),
        ("rd_kafka_destroy", None, (pointer,)),
        ("rd_kafka_mock_cluster_new", pointer, (pointer, number)),
        ("rd_kafka_mock_cluster_destroy", None, (pointer,)),
        ("rd_kafka_mock_cluster_bootstraps", text, (pointer,)),
        ("rd_kafka_mock_topic_create", number, (pointer, text, number, number)),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, (pointer, ctypes.c_int32)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class MockCluster:
    """One broker on loopback, alive until it is closed; raises `MockUnavailable`."""

    def __init__(self) -> None:
        self._library = library = _library()
        error = ctypes.create_string_buffer(ERROR_BYTES)
        conf = library.rd_kafka_conf_new()
        for name, value in QUIET:
            library.rd_kafka_conf_set(conf, name, value, error, ERROR_BYTES)
        self._handle = library.rd_kafka_new(PRODUCER, conf, error, ERROR_BYTES)
        if not self._handle:
            raise MockUnavailable(error.value.decode())
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, 1)
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.bootstrap: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        """Address for clients."""

    def create(self, topics: Iterable[tuple[str, int]]) -> None:
        """Create topics with their partitions."""
        for name, partitions in topics:
            self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)

    def close(self) -> None:
        """End the cluster; its data are gone."""
        if self._handle:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._handle)
            self._handle = None
