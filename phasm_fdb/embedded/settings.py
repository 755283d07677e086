"""What the options of a transaction and of a database come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from phasm_fdb.error_codes import INVALID_OPTION_VALUE, UNSUPPORTED_OPERATION
from phasm_fdb.errors import FDBError

SMALLEST_SIZE_LIMIT = 32
LARGEST_SIZE = 10_000_000

_INT_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Settings:
    """Options, in the API's own units: the defaults of a database, or those of a transaction that outlive a
    retry.

    Attributes:
        timeout: milliseconds from the transaction's beginning or last `reset`; 0 is none.
        retry_limit: how often `on_error` retries; -1 is without end.
        max_retry_delay: the most milliseconds that `on_error` waits.
        size_limit: the most bytes of a commit.
        snapshot_ryw: snapshot reads see own writes while this is above 0.
        bypass_unreadable: versionstamped keys are read as placeholders.
        protects_commit: using a transaction while it commits fails the commit too.
    """

    timeout: int = 0
    retry_limit: int = -1
    max_retry_delay: int = 1000
    size_limit: int = LARGEST_SIZE
    snapshot_ryw: int = 1
    bypass_unreadable: bool = False
    protects_commit: bool = True


def checked(value: int, least: int, most: int = _INT_MAX) -> int:
    """`value`, if the option takes it.

    Raises:
        FDBError: 2006 when it is out of the option's range.
    """
    if not least <= value <= most:
        raise FDBError(INVALID_OPTION_VALUE, f"{value} is not from {least} to {most}")
    return value


# What is left of FoundationDB's options makes no difference to one process on one machine, or cannot be had
# there.
WITHOUT_EFFECT = frozenset(
    [
        "causal_write_risky",
        "causal_read_risky",
        "causal_read_disable",
        "include_port_in_address",
        "read_ahead_disable",
        "read_server_side_cache_enable",
        "read_server_side_cache_disable",
        "read_priority_normal",
        "read_priority_low",
        "read_priority_high",
        "durability_datacenter",
        "durability_risky",
        "durability_dev_null_is_web_scale",
        "priority_system_immediate",
        "priority_batch",
        "debug_retry_logging",
        "transaction_logging_enable",
        "transaction_logging_max_field_length",
        "server_request_tracing",
        "automatic_idempotency",
        "lock_aware",
        "read_lock_aware",
        "use_provisional_proxies",
        "tag",
        "auto_throttle_tag",
        "span_parent",
        "expensive_clear_cost_estimation_enable",
        "use_grv_cache",
        "max_grv_queue_delay",
        "authorization_token",
        "enable_replica_consistency_check",
        "consistency_check_required_replicas",
        "bypass_storage_quota",
        "location_cache_size",
        "machine_id",
        "datacenter_id",
        "transaction_causal_read_risky",
        "transaction_include_port_in_address",
        "transaction_automatic_idempotency",
        "test_causal_read_risky",
        # The conflicting keys could be read as special keys, of which there are none here (2113).
        "report_conflicting_keys",
        "transaction_report_conflicting_keys",
    ]
)
REFUSED = frozenset(
    [
        "access_system_keys",
        "raw_access",
        "initialize_new_database",
        "special_key_space_relaxed",
        "special_key_space_enable_writes",
    ]
)


def other_option(scope: str, method: str) -> Callable[..., None]:
    """The setter for an option that has no code of its own.

    Raises:
        FDBError: 2108 for an option whose effect this engine cannot have.
        AttributeError: FoundationDB has no such option.
    """
    name = method.removeprefix("set_")
    if method.startswith("set_") and name in WITHOUT_EFFECT:
        return _ignore
    if method.startswith("set_") and name in REFUSED:
        raise FDBError(UNSUPPORTED_OPERATION, f"the embedded engine does not support the {scope} option {name!r}")
    raise AttributeError(f"{scope} options have no {method!r}")


def _ignore(value: Any = None) -> None:
    """Take an option that makes no difference here."""
