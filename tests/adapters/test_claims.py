"""Claims, where the moment matters that the other tests can only hope for."""

from conexiones.adapters.blobs.local.claims import Claims

DIGEST = b"1"


def test_a_blob_that_was_settled_since_the_catalog_was_asked_stays() -> None:
    claims, removed = Claims(), []
    claims.make(DIGEST)
    version = claims.version(DIGEST)
    referenced = False  # said the catalog, and then a twin comes and goes:
    claims.make(DIGEST)
    assert claims.settle(DIGEST)
    assert not claims.drop(DIGEST, version=version, referenced=referenced, remove=removed.append)
    version = claims.version(DIGEST)
    assert claims.drop(DIGEST, version=version, referenced=True, remove=removed.append)
    assert removed == []


def test_a_blob_whose_image_was_deleted_since_the_catalog_was_asked_goes() -> None:
    claims, removed = Claims(), []
    claims.make(DIGEST)
    version = claims.version(DIGEST)
    referenced = True  # said the catalog, and then the image is deleted:
    claims.make(DIGEST)
    assert claims.drop(DIGEST, version=claims.version(DIGEST), referenced=False, remove=removed.append)
    assert not claims.drop(DIGEST, version=version, referenced=referenced, remove=removed.append)
    assert claims.drop(DIGEST, version=claims.version(DIGEST), referenced=False, remove=removed.append)
    assert removed == [DIGEST]


def test_the_last_to_settle_decides_if_another_could_not() -> None:
    claims, removed = Claims(), []
    claims.make(DIGEST)  # its image is in the catalog, and is deleted before it settles:
    claims.make(DIGEST)
    assert claims.drop(DIGEST, version=claims.version(DIGEST), referenced=False, remove=removed.append)
    assert removed == []
    assert not claims.settle(DIGEST)
    assert claims.drop(DIGEST, version=claims.version(DIGEST), referenced=False, remove=removed.append)
    assert removed == [DIGEST]


def test_who_leaves_removes_nothing_and_leaves_word() -> None:
    claims, removed = Claims(), []
    claims.make(DIGEST)
    claims.leave(DIGEST)
    claims.make(DIGEST)
    claims.make(DIGEST)
    claims.leave(DIGEST)
    assert not claims.settle(DIGEST)
    assert claims.drop(DIGEST, version=claims.version(DIGEST), referenced=True, remove=removed.append)
    assert removed == []


def test_all_is_forgotten_with_the_last_claim() -> None:
    claims, removed = Claims(), []
    claims.make(DIGEST)
    assert claims.settle(DIGEST)
    claims.make(DIGEST)
    claims.make(b"2")
    assert claims.drop(DIGEST, version=claims.version(DIGEST), referenced=False, remove=removed.append)
    assert claims.drop(b"2", version=claims.version(b"2"), referenced=True, remove=removed.append)
    assert removed == [DIGEST]
