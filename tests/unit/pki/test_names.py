import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenorn.errors import InputWrongError
from kubenorn.pki.names import canonical_addresses, canonical_dns_names, dns_name

LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
ADDRESSES = st.ip_addresses().map(str)


@pytest.mark.parametrize("good", ["a", "m1", "K8S.Example.COM", "*.example.com", "a" * 63, "1a.2b", "x--y"])
def test_names_are_lowered(good: str) -> None:
    assert dns_name(good) == good.lower()


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ".",
        "-a",
        "a-",
        "a..b",
        "a_b",
        "a b",
        "a" * 64,
        "a.*",
        "*",
        "ä",
        ".".join(["a" * 49] * 6),
        "a\n",
        "a,b",
    ],
)
def test_what_is_no_name_is_refused(bad: str) -> None:
    with pytest.raises(InputWrongError, match=r"is not a DNS name|ends with a dot"):
        dns_name(bad)


def test_a_trailing_dot_has_a_sentence_of_its_own() -> None:
    with pytest.raises(InputWrongError, match=r"'cluster\.local\.' ends with a dot.*remove the dot"):
        dns_name("cluster.local.")


@pytest.mark.parametrize("bad", ["192.168.80.300", "10.0.0", "192.168.80.7"])
def test_what_looks_like_an_address_is_no_name(bad: str) -> None:
    with pytest.raises(InputWrongError, match="reads as an address"):
        dns_name(bad)


@given(st.lists(NAMES))
def test_order_and_repetition_of_names_do_not_matter(names: list[str]) -> None:
    result = canonical_dns_names(names)
    assert result == canonical_dns_names([*reversed(names), *(name.upper() for name in names)])
    assert list(result) == sorted(set(names))


@given(st.lists(ADDRESSES))
def test_order_and_repetition_of_addresses_do_not_matter(addresses: list[str]) -> None:
    result = canonical_addresses(addresses)
    assert result == canonical_addresses([*reversed(addresses), *addresses])
    assert set(result) == set(addresses)


def test_addresses_are_in_numerical_order_and_canonical() -> None:
    given_ = ["10.0.0.10", "::1", "10.0.0.9", "0:0::0:1"]
    assert canonical_addresses(given_) == ("10.0.0.9", "10.0.0.10", "::1")


def test_a_wrong_address_is_named() -> None:
    with pytest.raises(InputWrongError, match=r"'192\.168\.80\.300' is not an IP address"):
        canonical_addresses(["192.168.80.300"])
