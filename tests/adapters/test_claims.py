"""Claims, where the moment matters that the other tests can only hope for."""

from conexiones.adapters.claims import Claims


def test_a_blob_that_was_settled_since_the_catalog_was_asked_stays() -> None:
    claims, removed = Claims(), []
    claims.make(b"1")
    referenced = False  # said the catalog, and then a twin comes and goes:
    claims.make(b"1")
    claims.settle(b"1")
    claims.drop(b"1", referenced=referenced, remove=removed.append)
    assert removed == []


def test_the_word_of_a_twin_is_forgotten_with_the_last_claim() -> None:
    claims, removed = Claims(), []
    claims.make(b"1")
    claims.settle(b"1")
    claims.make(b"1")
    claims.make(b"2")
    claims.drop(b"1", referenced=False, remove=removed.append)
    claims.drop(b"2", referenced=True, remove=removed.append)
    assert removed == [b"1"]
