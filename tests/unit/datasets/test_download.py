"""Downloads against a local server that does everything a bad day has in store."""

import hashlib
import json
import threading
import time
from collections import Counter, deque
from dataclasses import replace

import pytest

from co2net.datasets import carbontracker, netcdf
from co2net.datasets.download import MANIFEST, Policy, Remote, download, read_manifest
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from tests.synthetic import SyntheticSource
from tests.unit.datasets.originals import write_day

QUICK = Policy(attempts=3, first_wait=0.01, longest_wait=0.3)
STALLING = replace(QUICK, timeout=1.0)
CONTENT = bytes(range(256)) * 4000


def fetch(site, folder, *names, **options):
    items = [Remote(f"{site.base}/{name}", name) for name in names]
    return download(items, folder, **{"policy": QUICK, **options})


def put(site, name="a.nc", data=CONTENT, *faults):
    site.files[f"/{name}"] = data
    site.faults[f"/{name}"] = deque(faults)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_come_whole_and_are_entered(site, tmp_path):
    for n in range(7):
        put(site, f"{n}.nc", CONTENT + bytes([n]))
    said = []
    done = fetch(
        site, tmp_path, *[f"{n}.nc" for n in range(7)], progress=lambda *args: said.append(args)
    )
    assert len(done.fetched) == 7
    assert not done.failed
    assert done.bytes == 7 * (len(CONTENT) + 1)
    assert said[-1][0] == 1.0
    assert "7/7 files" in said[-1][1]
    assert any("left" in text for _, text in said)
    entries = read_manifest(tmp_path)
    for n in range(7):
        data = (tmp_path / f"{n}.nc").read_bytes()
        assert data == CONTENT + bytes([n])
        assert entries[f"{n}.nc"]["sha256"] == hashlib.sha256(data).hexdigest()
        assert entries[f"{n}.nc"]["bytes"] == len(data)
    assert names(tmp_path) == [*(f"{n}.nc" for n in range(7)), MANIFEST]


def test_a_second_call_asks_for_nothing(site, tmp_path):
    put(site)
    fetch(site, tmp_path, "a.nc")
    site.requests.clear()
    done = fetch(site, tmp_path, "a.nc")
    assert (done.kept, done.fetched, done.bytes) == (("a.nc",), (), 0)
    assert site.requests == []


def test_a_file_of_another_length_is_fetched_again(site, tmp_path):
    put(site)
    fetch(site, tmp_path, "a.nc")
    (tmp_path / "a.nc").write_bytes(CONTENT[:-1])
    assert fetch(site, tmp_path, "a.nc").fetched == ("a.nc",)
    assert (tmp_path / "a.nc").read_bytes() == CONTENT


def test_a_file_from_elsewhere_is_taken_over_when_its_length_is_right(site, tmp_path):
    put(site)
    (tmp_path / "a.nc").write_bytes(CONTENT)
    done = fetch(site, tmp_path, "a.nc")
    assert done.kept == ("a.nc",)
    assert Counter(method for method, _, _ in site.requests) == {"HEAD": 1}
    assert read_manifest(tmp_path)["a.nc"]["bytes"] == len(CONTENT)
    put(site, "b.nc")
    (tmp_path / "b.nc").write_bytes(CONTENT[:-5])
    assert fetch(site, tmp_path, "b.nc").fetched == ("b.nc",)
    assert (tmp_path / "b.nc").read_bytes() == CONTENT


@pytest.mark.parametrize("fault", ["truncate", "stall"])
def test_a_broken_transfer_goes_on_where_it_stopped(site, tmp_path, fault):
    put(site, "a.nc", CONTENT, fault, fault)
    assert fetch(site, tmp_path, "a.nc", policy=STALLING).fetched == ("a.nc",)
    assert (tmp_path / "a.nc").read_bytes() == CONTENT
    starts = site.starts("/a.nc")
    assert len(starts) == 3
    assert 0 == starts[0] < starts[1] < starts[2]


def test_going_on_by_date_where_there_is_no_tag(site, tmp_path):
    site.tags, site.dates = False, True
    put(site, "a.nc", CONTENT, "truncate")
    fetch(site, tmp_path, "a.nc")
    assert site.starts("/a.nc")[1] > 0
    assert (tmp_path / "a.nc").read_bytes() == CONTENT


def test_without_ranges_or_without_any_mark_it_starts_anew(site, tmp_path):
    site.ranges = False
    put(site, "a.nc", CONTENT, "truncate")
    fetch(site, tmp_path, "a.nc")
    assert (tmp_path / "a.nc").read_bytes() == CONTENT
    site.tags = False
    put(site, "b.nc", CONTENT, "truncate")
    fetch(site, tmp_path, "b.nc")
    assert site.starts("/b.nc") == [0, 0]
    assert (tmp_path / "b.nc").read_bytes() == CONTENT


@pytest.mark.parametrize("honest", [True, False], ids=["if-range", "glues"])
def test_a_file_that_changes_midway_is_never_two_halves(site, tmp_path, honest):
    """Also where the server ignores If-Range and gives the rest of the new version."""
    new = bytes(reversed(CONTENT)) + b"longer"

    def change():
        site.files["/a.nc"] = new
        return None if honest else "glue"

    put(site, "a.nc", CONTENT, "truncate", change)
    fetch(site, tmp_path, "a.nc")
    assert (tmp_path / "a.nc").read_bytes() == new
    assert read_manifest(tmp_path)["a.nc"]["sha256"] == hashlib.sha256(new).hexdigest()


def test_a_file_that_shrinks_below_the_part_is_fetched_from_the_start(site, tmp_path):
    def change():
        site.files["/a.nc"] = b"short"
        return "glue"

    put(site, "a.nc", CONTENT, "truncate", change)
    fetch(site, tmp_path, "a.nc")
    assert (tmp_path / "a.nc").read_bytes() == b"short"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_answers_are_tried_again(site, tmp_path, status):
    put(site, "a.nc", CONTENT, status, status)
    assert fetch(site, tmp_path, "a.nc").fetched == ("a.nc",)
    assert len(site.requests) == 3


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_final_answers_are_not(site, tmp_path, status):
    put(site, "a.nc", CONTENT, status)
    put(site, "b.nc", CONTENT)
    done = fetch(site, tmp_path, "a.nc", "b.nc")
    assert done.fetched == ("b.nc",)
    assert str(status) in done.failed["a.nc"]
    assert site.starts("/a.nc") == [0]
    assert done.lines()[1] == f"failed: {done.failed['a.nc']}"
    assert names(tmp_path) == ["b.nc", MANIFEST]


def test_it_gives_up_after_tries_without_a_new_byte(site, tmp_path):
    put(site, "a.nc", CONTENT, *[500] * 9)
    done = fetch(site, tmp_path, "a.nc")
    assert done.failed == {"a.nc": f"{site.base}/a.nc: the server answers 500, 3 times"}
    assert len(site.requests) == 3


def test_every_new_byte_renews_its_patience(site, tmp_path):
    put(site, "a.nc", CONTENT, *["truncate"] * 8)
    assert fetch(site, tmp_path, "a.nc").fetched == ("a.nc",)
    assert (tmp_path / "a.nc").read_bytes() == CONTENT
    site.ranges = False  # the same half again and again is no progress
    put(site, "b.nc", CONTENT, *["truncate"] * 20)
    assert "broke off" in fetch(site, tmp_path, "b.nc").failed["b.nc"]


def test_no_server_at_all(tmp_path):
    done = download([Remote("http://127.0.0.1:9/a.nc", "a.nc")], tmp_path, policy=QUICK)
    assert "the connection fails" in done.failed["a.nc"]
    assert names(tmp_path) == []


def test_what_was_begun_is_finished_by_a_later_call(site, tmp_path):
    put(site, "a.nc", CONTENT, "truncate", *[500] * 9)
    assert "a.nc" in fetch(site, tmp_path, "a.nc").failed
    assert names(tmp_path) == [".a.nc.part", ".a.nc.part.json"]
    site.faults["/a.nc"].clear()
    site.requests.clear()
    fetch(site, tmp_path, "a.nc")
    assert site.starts("/a.nc") == [len(CONTENT) // 2]
    assert (tmp_path / "a.nc").read_bytes() == CONTENT
    assert names(tmp_path) == ["a.nc", MANIFEST]


def test_a_call_that_ended_between_transfer_and_check(site, tmp_path):
    put(site)
    (tmp_path / ".a.nc.part").write_bytes(CONTENT)
    note = {"url": f"{site.base}/a.nc", "validator": site.tag("/a.nc"), "total": len(CONTENT)}
    (tmp_path / ".a.nc.part.json").write_text(json.dumps(note))
    assert fetch(site, tmp_path, "a.nc").fetched == ("a.nc",)
    assert site.requests == []


@pytest.mark.parametrize("note", ["", "[]", '{"url": "other", "validator": "x", "total": 9}'])
def test_a_part_that_nothing_is_known_of_is_not_built_on(site, tmp_path, note):
    put(site)
    (tmp_path / ".a.nc.part").write_bytes(b"something else")
    (tmp_path / ".a.nc.part.json").write_text(note)
    fetch(site, tmp_path, "a.nc")
    assert site.starts("/a.nc") == [0]
    assert (tmp_path / "a.nc").read_bytes() == CONTENT


def test_a_server_that_announces_no_length(site, tmp_path):
    site.lengths = False
    put(site)
    fetch(site, tmp_path, "a.nc")
    assert (tmp_path / "a.nc").read_bytes() == CONTENT


def test_a_web_page_with_status_200_never_gets_the_name(site, tmp_path):
    put(site, "a.nc", b"<!DOCTYPE html><p>maintenance")
    done = fetch(site, tmp_path, "a.nc", check=netcdf.check_file)
    assert "what came is no NetCDF file (it begins with '<!DOCTYPE html>" in done.failed["a.nc"]
    assert names(tmp_path) == []


def test_the_final_name_never_holds_half_a_file(site, tmp_path):
    put(site, "a.nc", CONTENT, "stall", "truncate", 500, "stall")
    seen, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            if (tmp_path / "a.nc").exists():
                seen.add((tmp_path / "a.nc").stat().st_size)
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    fetch(site, tmp_path, "a.nc", policy=STALLING)
    while not seen and watcher.is_alive():
        time.sleep(0.01)
    stop.set()
    watcher.join()
    assert seen == {len(CONTENT)}


def test_an_interrupt_keeps_what_came(site, tmp_path):
    put(site)

    def interrupt(share, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(site, tmp_path, "a.nc", progress=interrupt)
    assert names(tmp_path) == [".a.nc.part", ".a.nc.part.json"]
    had = (tmp_path / ".a.nc.part").stat().st_size
    fetch(site, tmp_path, "a.nc")
    assert (tmp_path / "a.nc").read_bytes() == CONTENT
    assert site.starts("/a.nc") in ([0, had], [0])


def test_a_torn_line_of_the_manifest_costs_only_itself(site, tmp_path):
    for name in ("a.nc", "b.nc", "c.nc"):
        put(site, name)
    fetch(site, tmp_path, "a.nc", "b.nc", workers=1)
    lines = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(lines[:-30])
    fetch(site, tmp_path, "c.nc")
    assert set(read_manifest(tmp_path)) == {"a.nc", "c.nc"}
    assert fetch(site, tmp_path, "a.nc", "b.nc", "c.nc").kept == ("a.nc", "b.nc", "c.nc")
    assert set(read_manifest(tmp_path)) == {"a.nc", "b.nc", "c.nc"}


def test_input_that_makes_no_sense(tmp_path):
    with pytest.raises(UserError, match="no http or https"):
        download([Remote("file:///etc/hosts", "a")], tmp_path)
    with pytest.raises(UserError, match="one name"):
        download([Remote("http://h/1", "a"), Remote("http://h/2", "a")], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        download([], tmp_path / "file")


def test_from_the_server_to_a_store(site, tmp_path):
    world = SyntheticSource(LatLonGrid.regular(6, 8), "2019-01-01", "2019-01-03", sites=3)
    for day in ("2019-01-01", "2019-01-02", "2019-01-03"):
        path = write_day(tmp_path / "there", day, world, levels=2)
        put(site, f"co2_total/{path.name}", path.read_bytes(), "truncate", 503)
    done = carbontracker.fetch(
        "2019-01-01", "2019-01-03", tmp_path / "here", base_url=site.base, policy=QUICK
    )
    assert len(done.fetched) == 3
    made = carbontracker.prepare([tmp_path / "here"], tmp_path / "s.zarr", stations=world.stations)
    assert (made.days, made.gaps) == (3, ())
    assert (
        carbontracker.fetch(
            "2019-01-01", "2019-01-03", tmp_path / "here", base_url=site.base, policy=QUICK
        ).kept
        == done.fetched
    )
