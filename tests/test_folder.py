"""The folder of compiled code: private, bounded, and never a reason to fail."""

import contextlib
import errno
import os
import pickle
import stat
import threading
import time
import types
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlsysim.engine import cache, folder

NAME = f"{0xABC:024x}.kernel"
OTHER = f"{0xDEF:024x}.kernel"
TEXT, SIGNATURE = "def nest(x):\n    return x + 1.0\n", "float64(float64)"

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes are those of POSIX")


COMPILE = cache._compile
_results = {}


def _compile(text, signature, key, shelf):
    """What numba makes of a source of this file, once for all tests: here is tested where it is kept."""
    if shelf.code is not None or text not in (TEXT, TEXT + "\n"):
        return COMPILE(text, signature, key, shelf)
    if key not in _results:
        _results[key] = COMPILE(text, signature, key, shelf), shelf.result
    nest, shelf.result = _results[key]
    return nest


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A cache of its own that does not exist yet, in a process that has kept and said nothing."""
    monkeypatch.setenv("MLSYSIM_CACHE", str(tmp_path / "above" / "cache"))
    monkeypatch.setattr(cache, "_compile", _compile)
    monkeypatch.setattr(cache, "_loaded", {})
    monkeypatch.setattr(folder, "_told", set())
    return tmp_path / "above" / "cache"


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def give_away(path, monkeypatch):
    """Make a file somebody else's: by its owner where we may, else by who asks."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        me = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: me)


def left_over(place):
    return [p.name for p in place.iterdir() if p.name.startswith(".")] if place.is_dir() else []


@posix
@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077, 0o277, 0o777])
def test_folder_and_files_are_private_whatever_the_umask(place, umask):
    before = os.umask(umask)
    try:
        folder.keep(NAME, b"code")
    finally:
        os.umask(before)
    assert mode(place) == mode(place.parent) == 0o700 and mode(place / NAME) == 0o600
    assert folder.read(NAME) == b"code"


@posix
@pytest.mark.parametrize(
    "how", ["group", "others", "another's", "a link", "a file", "a dangling link", "a link to itself"]
)
def test_a_folder_that_others_can_fill_is_not_used_and_named_once(place, how, monkeypatch):
    folder.keep(NAME, b"planted")
    if how in ("group", "others"):
        place.chmod(0o770 if how == "group" else 0o702)
    elif how == "another's":
        give_away(place, monkeypatch)
    else:
        place.rename(place.parent / "real")
        if how == "a file":
            place.write_text("")
        else:
            place.symlink_to({"a link": "real", "a dangling link": "nowhere"}.get(how, place.name))
    with pytest.warns(RuntimeWarning, match=r"above/cache is not used.*MLSYSIM_CACHE") as told:
        assert folder.read(NAME) is None
        folder.keep(OTHER, b"code")
        assert folder.read(OTHER) is None
    assert len(told) == 1
    assert [p.name for p in place.parent.rglob("*.kernel")] == [NAME], "and nothing is written to it"


@posix
@pytest.mark.parametrize(
    "how", ["group", "others", "another's", "a link", "a pipe", "a folder", "nothing", "a dangling link"]
)
def test_a_file_that_others_can_have_written_is_not_read(place, how, monkeypatch):
    folder.keep(NAME, b"planted")
    file = place / NAME
    if how in ("group", "others"):
        file.chmod(0o660 if how == "group" else 0o602)
    elif how == "another's":
        give_away(file, monkeypatch)
    else:
        file.rename(place / "elsewhere")
        if how == "a link":
            file.symlink_to("elsewhere")
        elif how == "a dangling link":
            file.symlink_to("nowhere")
        elif how == "a pipe":
            os.mkfifo(file)
        elif how == "a folder":
            file.mkdir()
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert folder.read(NAME) is None
    if how not in ("a folder", "another's"):
        folder.keep(NAME, b"code")
        assert folder.read(NAME) == b"code", "a file of our own takes its place"


def test_root_may_fill_the_cache_of_an_image():
    if hasattr(os, "geteuid"):
        folder._ours(types.SimpleNamespace(st_uid=0, st_mode=0o40755))
        with pytest.raises(folder.Distrusted, match="belongs to user"):
            folder._ours(types.SimpleNamespace(st_uid=os.geteuid() + 1, st_mode=0o40700))


class Planted:
    """What runs when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@posix
def test_what_another_user_planted_in_the_temporary_folder_does_not_run(monkeypatch, tmp_path, place):
    monkeypatch.delenv("MLSYSIM_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    planted = tmp_path / f"mlsysim-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    whole = cache.identity(TEXT, SIGNATURE)
    content = cache.sealed(whole, pickle.dumps(Planted(tmp_path / "owned")))
    (planted / f"{cache.digest(TEXT, SIGNATURE)}.kernel").write_bytes(content)
    with pytest.warns(RuntimeWarning, match=rf"{planted.name}: group or others can write to it"):
        assert cache.compiled(TEXT, SIGNATURE)(1.0) == 2.0
    assert not (tmp_path / "owned").exists()
    for file in planted.iterdir():
        assert file.read_bytes() == content


def test_an_edited_kernel_is_compiled_again(place, monkeypatch):
    assert cache.compiled(TEXT, SIGNATURE)(1.0) == 2.0
    [file] = place.iterdir()
    good = file.read_bytes()
    other = "def nest(x):\n    return x - 1.0\n"
    monkeypatch.setattr(cache, "_loaded", {})
    assert cache.compiled(other, SIGNATURE)(1.0) == 0.0
    [wrong] = [p.read_bytes() for p in place.iterdir() if p != file]
    torn = {
        "edited": good.replace(b"x + 1.0", b"x - 1.0"),
        "of another key": wrong,
        "half": good[: len(good) // 2],
        "empty": b"",
        "sealed, but no code": cache.sealed(cache.identity(TEXT, SIGNATURE), b"no code"),
        "sealed, but no tuple": cache.sealed(cache.identity(TEXT, SIGNATURE), pickle.dumps(7)),
    }
    for how, content in torn.items():
        file.write_bytes(content)
        monkeypatch.setattr(cache, "_loaded", {})
        assert cache.compiled(TEXT, SIGNATURE)(1.0) == 2.0, how
        good_again = cache.opened(file.read_bytes(), cache.identity(TEXT, SIGNATURE))
        assert good_again, f"{how}: a good one takes its place"


@given(code=st.binary(max_size=60), at=st.integers(0, 10_000), change=st.integers(1, 255), cut=st.integers(0, 200))
@example(code=b"", at=0, change=1, cut=1)
def test_a_kept_file_is_whole_or_nothing(code, at, change, cut):
    content = cache.sealed("what it is made of", code)
    assert cache.opened(content, "what it is made of") == code
    assert cache.opened(content, "something else") is None and cache.opened(None, "what it is made of") is None
    flipped = bytearray(content)
    flipped[at % len(content)] ^= change
    assert cache.opened(bytes(flipped), "what it is made of") is None
    assert cache.opened(content[: max(0, len(content) - 1 - cut)], "what it is made of") is None


def test_the_folder_is_bounded_and_what_was_used_longest_ago_goes(place, monkeypatch):
    monkeypatch.setenv("MLSYSIM_CACHE_SIZE", "5 kB")
    names = [f"{i:024x}.kernel" for i in range(12)]
    for age, name in enumerate(names[:5]):
        folder.keep(name, bytes(1000))
        os.utime(place / name, (time.time() - 1000 + age,) * 2)
    assert folder.read(names[0]) is not None
    for name in names[5:8]:
        folder.keep(name, bytes(1000))
    assert {p.name for p in place.iterdir()} == {names[0], names[4], *names[5:8]}
    monkeypatch.setenv("MLSYSIM_CACHE_SIZE", "0")
    folder.keep(names[8], bytes(1000))
    assert not list(place.iterdir())


def test_sweeping_takes_what_nobody_will_finish_and_nothing_of_others(place):
    place.mkdir(parents=True, mode=0o700)
    old = {"." + NAME + "-abc_9x", f".{0:024x}-young", f"{1:024x}"}
    strange = {"notes.txt", ".hidden", "abc.kernel", f"{1:024x}.txt", f".{2:024x}"}
    for name in old - {f"{1:024x}"} | strange:
        (place / name).write_text("")
    (place / f"{1:024x}").mkdir()
    (place / f"{1:024x}" / "nest.py").write_text("")
    young = "." + OTHER + "-writing"
    (place / young).write_text("")
    for name in old | strange:
        os.utime(place / name, (time.time() - 2 * folder.STALE,) * 2)
    folder.keep(NAME, b"code")
    assert {p.name for p in place.iterdir()} == strange | {young, NAME}


@pytest.mark.parametrize("text", ["much", "-5 MB", "5 s", "nan"])
def test_an_odd_bound_is_told_and_the_usual_one_holds(place, monkeypatch, text):
    monkeypatch.setenv("MLSYSIM_CACHE_SIZE", text)
    with pytest.warns(RuntimeWarning, match=rf"MLSYSIM_CACHE_SIZE.*{text}.*256 MB"):
        folder.keep(NAME, b"code")
    assert folder.read(NAME) == b"code" and folder.bound() == folder.SIZE


FAULTS = {
    "full": errno.ENOSPC,
    "over quota": errno.EDQUOT,
    "read-only": errno.EROFS,
    "forbidden": errno.EACCES,
    "too many files": errno.EMFILE,
    "too long": errno.ENAMETOOLONG,
    "broken": errno.EIO,
}


class Refusing:
    """A file that takes nothing."""

    def __init__(self, handle, error):
        self.handle, self.error = handle, error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        os.close(self.handle)

    def write(self, content):
        raise self.error


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "step", ["os.mkdir", "tempfile.mkstemp", "write", "os.chmod", "os.replace", "os.lstat", "os.scandir"]
)
def test_a_fault_of_the_disk_leaves_the_answer_one_warning_and_nothing_else(place, monkeypatch, step, fault):
    error = OSError(FAULTS[fault], os.strerror(FAULTS[fault]))

    def refuse(*args, **more):
        raise error

    if step == "write":
        monkeypatch.setattr(folder, "open", lambda handle, how: Refusing(handle, error), raising=False)
    else:
        monkeypatch.setattr(step, refuse)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for text in (TEXT, TEXT + "\n"):
            assert cache.compiled(text, SIGNATURE)(1.0) == 2.0
    monkeypatch.undo()
    if step == "os.scandir":  # only sweeping needs it
        assert not told and len(list(place.iterdir())) == 2
    else:
        [message] = [str(w.message) for w in told]
        assert os.strerror(FAULTS[fault]) in message and str(place) in message and "MLSYSIM_CACHE" in message
        assert not place.is_dir() or not list(place.iterdir())


def test_no_home_no_entry_and_no_temporary_folder(place, monkeypatch, tmp_path):
    def unknown(*args):
        raise KeyError("no such user")

    monkeypatch.delenv("MLSYSIM_CACHE")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder.keep(NAME, b"code")
    assert folder.read(NAME) == b"code" and folder.directory().parent == tmp_path

    def nowhere():
        raise FileNotFoundError("No usable temporary directory")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    with pytest.warns(RuntimeWarning, match="no home folder"):
        folder.keep(NAME, b"code")
    assert folder.read(NAME) is None and folder.directory() is None


def test_a_working_directory_that_is_gone(place, monkeypatch):
    def gone():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setenv("MLSYSIM_CACHE", "kernels-in-a-folder-that-is-gone")
    monkeypatch.setattr("os.getcwd", gone)
    with pytest.warns(RuntimeWarning, match="MLSYSIM_CACHE"):
        assert cache.compiled(TEXT, SIGNATURE)(1.0) == 2.0


def test_a_cache_that_can_only_be_read_is_read_and_what_it_lacks_is_kept_beside(place, monkeypatch, tmp_path):
    monkeypatch.delenv("MLSYSIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "image"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder.keep(NAME, b"baked")
    make = folder.tempfile.mkstemp
    image = tmp_path / "image" / "mlsysim"

    def refuse(prefix, dir):
        if dir == image:
            raise OSError(errno.EROFS, "Read-only file system")
        return make(prefix=prefix, dir=dir)

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert folder.read(NAME) == b"baked"
    folder.keep(OTHER, b"code")
    assert folder.read(OTHER) == b"code" and [p.name for p in image.iterdir()] == [NAME]
    stands = folder.standing(image)
    assert (stands.files, stands.size, stands.unread) == (1, 5, "") and stands.unwritten == "Read-only file system"


@pytest.mark.parametrize("step", ["tempfile.mkstemp", "write", "os.replace", "source"])
def test_an_interrupt_leaves_nothing_and_the_next_call_works(place, monkeypatch, step):
    def interrupted(*args, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if step == "write":
            patch.setattr(folder, "open", lambda handle, how: Refusing(handle, KeyboardInterrupt()), raising=False)
        elif step != "source":
            patch.setattr(step, interrupted)
        cache.compiled("raise KeyboardInterrupt\n" if step == "source" else TEXT, SIGNATURE)
    assert not place.is_dir() or not list(place.iterdir())
    found = []
    other = threading.Thread(target=lambda: found.append(cache.compiled(TEXT, SIGNATURE)(1.0)))
    other.start()
    other.join(60)
    assert found == [2.0]


def test_a_warning_that_is_an_error_is_raised_once(place, monkeypatch):
    monkeypatch.setenv("MLSYSIM_CACHE", "/dev/null/cache")
    with warnings.catch_warnings(), contextlib.suppress(RuntimeWarning):
        warnings.simplefilter("error")
        cache.compiled(TEXT, SIGNATURE)
    assert cache.compiled(TEXT, SIGNATURE)(1.0) == 2.0
